# Part of the stand-in for Open OnDemand's dashboard: for the demo and the tests only.
#
# Renders an app's ERB and Markdown as OnDemand does. One JSON request on stdin, one JSON answer on stdout:
#   {"do": "form" | "submit" | "stage" | "card", ...} -> {"result": ...} or {"error": message, "class": name}
# A process serves one request, so nothing that an app's ERB defines survives it.

require "erb"
require "json"
require "ostruct"
require "pathname"
require "securerandom"
require "time"
require "yaml"

begin
  require "redcarpet"
rescue LoadError
  puts JSON.generate("error" => "Ruby has no Redcarpet. Install it with: apt-get install ruby-redcarpet", "class" => "LoadError")
  exit
end

# The extensions that OnDemand turns on; its renderer is the plain HTML one, which lets raw HTML through.
MARKDOWN = Redcarpet::Markdown.new(
  Redcarpet::Render::HTML,
  autolink: true, tables: true, strikethrough: true, fenced_code_blocks: true, no_intra_emphasis: true
)

def erb(text, scope = nil, filename = nil)
  template = ERB.new(text, trim_mode: "-")
  template.filename = filename if filename
  scope ? template.result(scope) : template.result
end

# What `context` is in template/*.erb: a method for each attribute; any other name is a NoMethodError that stops the launch.
# Enumerable and model_name are there because they shadow attributes of the same name in OnDemand too.
class SessionContext
  include Enumerable

  def initialize(values)
    @values = values
  end

  def each(&block)
    @values.map { |id, value| OpenStruct.new(id: id, value: value) }.each(&block)
  end

  def to_h
    @values.transform_keys(&:to_sym)
  end

  def model_name
    "BatchConnect::SessionContext"
  end

  def method_missing(name, *arguments)
    return super unless arguments.empty? && @values.key?(name.to_s)

    @values[name.to_s]
  end

  def respond_to_missing?(name, include_private = false)
    @values.key?(name.to_s) || super
  end
end

TemplateScope = Struct.new(:session, :context) do
  def scope
    binding
  end
end

Status = Struct.new(:state) do
  %w[queued running completed undetermined].each { |name| define_method("#{name}?") { state == name } }

  def to_s
    state
  end

  def to_sym
    state.to_sym
  end
end

# What info.md.erb and completed.md.erb are evaluated in, and what `session` is in template/*.erb.
class Session
  attr_reader :id, :job_id, :token, :title, :created_at, :cluster_id, :app, :info, :status

  def initialize(values)
    @values = values
    @id, @job_id, @token, @title = values.values_at("id", "job_id", "token", "title")
    @created_at, @cluster_id = values.values_at("created_at", "cluster_id")
    @app = OpenStruct.new(root: Pathname.new(values["app_root"]), token: @token, title: @title)
    @status = Status.new(values.fetch("job_state", "undetermined"))
    @info = OpenStruct.new((values["info"] || {}).merge(id: @job_id, status: @status))
  end

  def staged_root
    Pathname.new(@values["staged_root"])
  end

  def user_context
    @user_context ||= JSON.parse(staged_root.join("user_defined_context.json").read)
  end

  def connect
    OpenStruct.new(YAML.safe_load(staged_root.join("connection.yml").read))
  end

  def queued?
    status.queued?
  end

  def starting?
    status.running? && !staged_root.join("connection.yml").file?
  end

  def running?
    status.running? && !starting?
  end

  def completed?
    status.completed?
  end

  def scope
    binding
  end
end

# The two functions differ in one local: OnDemand gives `session` to the view from 4.2 on.
def view_scope(view, connect)
  connect.instance_eval { binding }
end

def view_scope_with_session(view, connect, session)
  connect.instance_eval { binding }
end

def read_form(root)
  erb_file = root.join("form.yml.erb")
  text = erb_file.file? ? erb(erb_file.read, nil, erb_file.to_s) : root.join("form.yml").read
  YAML.safe_load(text)
end

def do_form(request)
  root = Pathname.new(request["app_root"])
  manifest = YAML.safe_load(root.join("manifest.yml").read)
  form = read_form(root)
  (form["attributes"] || {}).each_value do |attribute|
    attribute["help"] = MARKDOWN.render(attribute["help"]) if attribute.is_a?(Hash) && attribute["help"]
  end
  description = form["description"] || manifest["description"] || ""
  { manifest: manifest, form: form, description_html: MARKDOWN.render(description) }
end

def do_submit(request)
  values = request["context"].transform_keys(&:to_sym)
  keywords = OpenStruct.new.methods & values.keys
  raise ArgumentError, "#{keywords.inspect} are keywords that cannot be used as names for attributes" if keywords.any?

  root = Pathname.new(request["app_root"])
  file = root.join("submit.yml.erb")
  scope = OpenStruct.new(values.merge(staged_root: Pathname.new(request["staged_root"]))).instance_eval { binding }
  text = file.file? ? erb(file.read, scope, file.to_s) : root.join("submit.yml").read
  begin
    YAML.safe_load(text) || {}
  rescue Psych::Exception
    Pathname.new(request["staged_root"]).tap(&:mkpath).join("submit.yml").write(text)
    raise
  end
end

def do_stage(request)
  session = Session.new(request["session"])
  scope = TemplateScope.new(session, SessionContext.new(request["context"])).scope
  request["files"].each do |source, target|
    source = Pathname.new(source)
    target = Pathname.new(target)
    target.write(erb(source.read, scope))
    target.chmod(source.stat.mode)
  end
  true
end

# A part of the card: [HTML, nil] or [nil, what went wrong]. An app's ERB can raise anything, so anything is caught, as in OnDemand.
def part
  [MARKDOWN.render(yield), nil]
rescue Exception => e
  [nil, "#{e.class} - #{e.message}"]
end

def custom_file(root, name)
  root.join("#{name}.md.erb").then { |file| file.file? ? file : root.join("#{name}.html.erb") }
end

def do_card(request)
  session = Session.new(request["session"])
  root = session.app.root
  answer = {}
  info = custom_file(root, "info")
  answer["info"] = part { erb(info.read, session.scope) } if info.file?
  completed = custom_file(root, "completed")
  answer["completed"] = part { erb(completed.read, session.scope) } if completed.file? && session.completed?
  view = root.join("view.html.erb")
  if session.running? && view.file?
    answer["view"] = part do
      text = view.read
      connect = session.connect
      erb(text, request["session_in_view"] ? view_scope_with_session(text, connect, session) : view_scope(text, connect))
    end
  end
  answer
end

# The answer has stdout to itself: an app's ERB that prints must not get into it.
answers = $stdout.dup
$stdout.reopen($stderr)
Encoding.default_external = Encoding::UTF_8
begin
  request = JSON.parse($stdin.read)
  known = { "form" => :do_form, "submit" => :do_submit, "stage" => :do_stage, "card" => :do_card }
  answer = { "result" => send(known.fetch(request["do"]), request) }
rescue Exception => e # an app's ERB may raise any Exception; OnDemand rescues it as well
  answer = { "error" => e.message, "class" => e.class.name }
end
answers.write(JSON.generate(answer))
