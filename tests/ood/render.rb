# Render the app's files with the bindings and options of OnDemand's dashboard: one JSON request a line, one answer a line.
#
# Request: {"file": path, "kind": "form" | "submit" | "launch" | "template" | "view" | "session", "values": {...},
#           "markdown": bool, "to": file to write the text to, where a later request reads it, or nothing}
# Answer:  {"text": ..., "yaml": parsed text or null, "html": ... or null, "error": message or null, "ms": duration}
#
# "launch" is what submit.yml.erb asks of launch.rb, with the catalogue read once for all: for thousands of values.

require "erb"
require "json"
require "ostruct"
require "pathname"
require "redcarpet"
require "yaml"

# The options of OodAppkit.markdown.
MARKDOWN = Redcarpet::Markdown.new(
  Redcarpet::Render::HTML,
  autolink: true, tables: true, strikethrough: true, fenced_code_blocks: true, no_intra_emphasis: true
)

TemplateBinding = Struct.new(:session, :context) do
  def get_binding
    binding
  end
end

# As in OnDemand: a name that the form lacks is an error, and [] gives no value.
class Context
  def initialize(values)
    @values = values
  end

  def to_h
    @values.transform_keys(&:to_sym)
  end

  def method_missing(name, *arguments)
    @values.fetch(name.to_s) { super }
  end

  def respond_to_missing?(name, include_private = false)
    @values.key?(name.to_s) || super
  end
end

class Session
  attr_reader :staged_root

  def initialize(values)
    @staged_root = Pathname.new(values.fetch("staged_root"))
    @completed = values.fetch("completed")
  end

  def completed?
    @completed
  end

  def get_binding
    binding
  end
end

def binding_for(kind, values)
  case kind
  when "submit", "view"
    OpenStruct.new(values).instance_eval { binding }
  when "template"
    app = Struct.new(:root).new(Pathname.new(values.fetch("app")))
    TemplateBinding.new(Struct.new(:app).new(app), Context.new(values.fetch("context"))).get_binding
  when "session"
    Session.new(values).get_binding
  end
end

# Only submit.yml.erb is given its file name.
COMPILED = Hash.new do |compiled, path|
  erb = ERB.new(File.read(path), trim_mode: "-")
  erb.filename = path if File.basename(path) == "submit.yml.erb"
  compiled[path] = erb
end

LAUNCHES = Hash.new do |known, path|
  code = Module.new.tap { |scope| scope.module_eval(File.read(path), path) }
  known[path] = [code::Launch, JSON.parse(File.read(File.join(File.dirname(path), "catalogue.json")))]
end

def read(request)
  file, values = request.values_at("file", "values")
  case request.fetch("kind")
  when "form"
    File.read(file)
  when "launch"
    launch, catalogue = LAUNCHES[file]
    JSON.generate(launch.new(catalogue, values.transform_keys(&:to_sym), File.dirname(file)).script)
  else
    COMPILED[file].result(binding_for(request["kind"], values))
  end
end

def render(request)
  text = read(request)
  File.write(request["to"], text) if request["to"]
  answer = { "text" => text, "yaml" => nil, "html" => nil, "error" => nil }
  answer["yaml"] = YAML.safe_load(text) if %w[form submit launch].include?(request["kind"])
  answer["html"] = MARKDOWN.render(text) if request["markdown"]
  answer
rescue StandardError => e
  { "text" => nil, "yaml" => nil, "html" => nil, "error" => e.message }
end

def timed(request)
  start = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  render(request).merge("ms" => (Process.clock_gettime(Process::CLOCK_MONOTONIC) - start) * 1000)
end

if ARGV == ["--load-yaml"]
  puts JSON.generate(YAML.safe_load($stdin.read))
else
  $stdin.each_line { |line| puts JSON.generate(timed(JSON.parse(line))) }
end
