# What the form sent, checked against catalogue.json. submit.yml.erb and template/session.json.erb evaluate this file in
# a module of their own: they run in the portal's process, where several versions of this app may be at work.
#
# OnDemand checks nothing of what a browser sends. The checks, their order and their words are those of
# webapp/llm_hoster/catalogue/choice.py, which the node repeats; tests/ood holds the two equal.

require "digest"
require "json"
require "timeout"

class Launch
  # A field that was not sent says this. Nothing is assumed of the first ones: they must be there.
  DEFAULTS = {
    "model" => "", "typed_model" => "", "gpu_type" => "", "num_gpus" => "", "bc_num_hours" => "",
    "qos" => "", "account" => "", "reservation" => "",
    "context_length" => "auto", "quantization" => "none", "preset" => "interactive",
    "lora_folder" => "", "idle_minutes" => "0", "chain_length" => "1"
  }.freeze
  OTHER_MODEL = "other".freeze
  WHOLE_NUMBER = /\A(0|[1-9][0-9]{0,8})\z/.freeze
  HUGGING_FACE_ID = %r{\A[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}\z}.freeze
  FOLDER = %r{\A/[^\x00-\x1f\x7f]{0,1023}\z}.freeze
  SLURM_NAME = /\A([A-Za-z0-9][A-Za-z0-9._-]{0,62})?\z/.freeze
  SHOWN_LENGTH = 60
  FORM_ID_LENGTH = 16

  # All fields as text, whatever OnDemand calls the account.
  def self.values(sent)
    sent = sent.merge(account: sent[:auto_accounts] || sent[:bc_account])
    DEFAULTS.to_h { |name, default| [name, (sent[name.to_sym] || default).to_s] }
  end

  # The catalogue of the app in this folder; refuses when the admin's files or the form are not those it belongs to.
  def self.catalogue(folder, form_id)
    catalogue = JSON.parse(File.read(File.join(folder, "catalogue.json"), encoding: "UTF-8"))
    catalogue["made_from"].each do |source|
      path = File.expand_path(source["file"], folder)
      fresh = File.file?(path) && Digest::SHA256.file(path).hexdigest == source["sha256"]
      raise "form.yml is older than #{source["file"]}: run llm-hoster configure." unless fresh
    end
    # Both the file and the form that was sent: from 4.2 on OnDemand keeps a form for hours after a change.
    id = catalogue["form_id"]
    file = File.join(folder, "form.yml")
    written = File.file?(file) ? File.read(file, encoding: "UTF-8").sub(id, "") : ""
    unless id == form_id.to_s && id == Digest::SHA256.hexdigest(written)[0, FORM_ID_LENGTH]
      raise "This form is not the one that belongs to catalogue.json: choose \"Restart Web Server\" in the portal's " \
            "Help menu and open the form again; if that does not help, run llm-hoster configure."
    end
    catalogue
  end

  def initialize(catalogue, sent, folder)
    @catalogue = catalogue
    @values = Launch.values(sent)
    @folder = folder
  end

  # `script` of submit.yml. Raises the sentence for whoever chose something that is not offered.
  def script
    check
    script = { "wall_time" => @values["bc_num_hours"].to_i * 3600, "native" => native }
    script["accounting_id"] = @values["account"] unless @values["account"].empty?
    script["reservation_id"] = @values["reservation"] unless @values["reservation"].empty?
    script
  end

  private

  def check
    @gpu_type = checked_gpu_type
    @offer = checked_offer
    check_model
    check_option("quantization", @catalogue["quantizations"])
    check_option("preset", @catalogue["presets"])
    check_context_length
    check_fit unless typed?
    @qos = checked_qos
    check_chain
    check_texts
    # Last, because it may take seconds.
    check_fit_of_typed_model if typed?
  end

  def checked_gpu_type
    find(@catalogue["gpu_types"], @values["gpu_type"]) ||
      refuse("gpu_type", value: shown("gpu_type"), offered: listed(titles(@catalogue["gpu_types"])))
  end

  def checked_offer
    offers, count = @catalogue["offers"][@gpu_type["name"]], @values["num_gpus"]
    return offers[count] if offers.key?(count)

    if @gpu_type["is_slice"] && count.match?(WHOLE_NUMBER) && count.to_i > 1
      refuse("slices", gpu_type: @gpu_type["title"], value: count)
    end
    refuse("num_gpus", value: shown("num_gpus"), gpu_type: @gpu_type["title"], offered: listed(offers.keys))
  end

  def check_model
    typed = @values["typed_model"]
    if typed?
      refuse("typed_model", value: shown("typed_model")) unless typed.match?(HUGGING_FACE_ID) || typed.match?(FOLDER)
    elsif (@model = find(@catalogue["models"], @values["model"])).nil?
      offered = listed([*titles(@catalogue["models"]), fill("other_model", {})])
      refuse("model", value: shown("model"), offered: offered)
    elsif !typed.empty?
      refuse("typed_model_without_other", value: shown("typed_model"), model: @model["title"])
    end
  end

  def check_option(field, options)
    return if find(options, @values[field])

    refuse(field, value: shown(field), offered: listed(options.map { |each| short_title(each) }))
  end

  def check_context_length
    offered = ["auto", *@catalogue["context_lengths"].map(&:to_s)]
    return if offered.include?(@values["context_length"])

    refuse("context_length", value: shown("context_length"), offered: listed(offered))
  end

  def check_fit
    return if holds?(here, own_variant)

    fit, texts = verdict(here, own_variant), { model: @model["title"], advice: advice }
    refuse_context(fit["max_model_len"], **texts) unless fit["refusal"]
    refuse_fit(fill(fit["refusal"]["kind"], fit["refusal"]["values"].transform_keys(&:to_sym)), **texts)
  end

  def refuse_fit(reason, **texts)
    refuse("does_not_fit", reason: reason, place: place, **texts)
  end

  def refuse_context(longest, **texts)
    refuse("context_too_long", value: context_length.to_s, longest: longest.to_s, place: place, **texts)
  end

  def holds?(place, variant)
    fit = verdict(place, variant)
    fit["refusal"].nil? && context_length <= fit.fetch("max_model_len", 0)
  end

  # What a verdict does not say is nothing: catalogue.json leaves it out.
  def verdict(place, variant)
    @catalogue["fits"].fetch(@values["model"]).dig(*place).fetch(variant.join("/"))
  end

  # Names what Launch would accept: another place, else another variant here, else both; of places the cheapest. Where
  # it would be replicas here, another preset comes first, with which the same GPUs share one model.
  def advice
    places = served_places
    tries = replicas? && places.include?(here) ? [here].product(in_each_preset) : []
    tries += places.product([own_variant])
    tries += [here].product(variants) if places.include?(here)
    tries += variants.flat_map { |variant| places.product([variant]) }
    found = tries.find { |place, variant| holds?(place, variant) }
    found ? advice_of(*found) : fill("no_advice", {})
  end

  def replicas?
    verdict(here, own_variant).fetch("replicas", 1) > 1
  end

  def in_each_preset
    names(@catalogue["presets"]).map { |preset| [@values["quantization"], preset] }
  end

  def advice_of(place, variant)
    kind = if variant == own_variant
             "advice"
           else
             place == here ? "advice_here" : "advice_elsewhere"
           end
    fill(kind, place: place_title(place), variant: variant_text(variant))
  end

  # The places that the hours and the QoS of the form leave, the cheapest first; of equal ones the catalogue's order
  # counts, which Ruby's sort does not keep by itself.
  def served_places
    places = @catalogue["places"].select { |place| serving_qos(offer_of(place)) }
    places.sort_by.with_index { |place, index| [serving_qos(offer_of(place))["su_per_hour"], index] }
  end

  def serving_qos(offer)
    name, hours = @values["qos"], @values["bc_num_hours"]
    return unless hours.match?(WHOLE_NUMBER) && hours != "0"

    offer["qos"].find { |each| each["max_hours"] >= hours.to_i && (name.empty? || each["name"] == name) }
  end

  # One's own first, then those in another quantisation, in another preset, in both.
  def variants
    quantization, preset = own_variant
    all = names(@catalogue["quantizations"]).product(names(@catalogue["presets"]))
    all.sort_by.with_index { |(q, p), index| [p == preset ? 0 : 1, q == quantization ? 0 : 1, index] }
  end

  # Names what of a variant is not one's own.
  def variant_text(variant)
    kinds = { "advice_quantization" => @catalogue["quantizations"], "advice_preset" => @catalogue["presets"] }
    texts = kinds.zip(variant, own_variant).map do |(kind, options), name, own|
      fill(kind, title: short_title(find(options, name))) unless name == own
    end
    listed(texts.compact)
  end

  def checked_qos
    name = @values["qos"]
    allowed = @offer["qos"].select { |each| name.empty? || each["name"] == name }
    if allowed.empty?
      offered = names(@offer["qos"]).compact
      refuse("qos", value: shown("qos"), place: place, offered: offered.empty? ? "none" : listed(offered))
    end
    serving_qos(@offer) || refuse_hours(allowed.max_by { |each| each["max_hours"] })
  end

  def refuse_hours(longest)
    texts = { value: shown("bc_num_hours"), place: place, longest: longest["max_hours"].to_s }
    refuse("hours", **texts) unless longest["name"]
    refuse("hours_of_qos", qos: longest["name"], **texts)
  end

  # Sessions in a row overlap: each loads while the one before still serves.
  def check_chain
    value, longest = @values["chain_length"], @qos["chain_max"]
    return if value.match?(WHOLE_NUMBER) && value.to_i.between?(1, longest)

    texts = { value: shown("chain_length"), place: place, longest: longest.to_s }
    refuse(longest > 1 ? "chain_length" : "chain_of_one", **texts)
  end

  def check_texts
    %w[account reservation].each do |field|
      refuse(field, value: shown(field)) unless @values[field].match?(SLURM_NAME)
    end
    unless @values["lora_folder"].empty? || @values["lora_folder"].match?(FOLDER)
      refuse("lora_folder", value: shown("lora_folder"))
    end
    minutes, longest = @values["idle_minutes"], @catalogue["idle_minutes_max"]
    return if minutes.match?(WHOLE_NUMBER) && minutes.to_i <= longest

    refuse("idle_minutes", value: shown("idle_minutes"), longest: longest.to_s)
  end

  # A model that cannot be read here may be there on the node, which looks again: only a plain "no" is a refusal.
  def check_fit_of_typed_model
    program = @catalogue["site"]["portal_command"]
    answer = program ? PortalCommand.new(program, @folder).answer("fit", *fit_arguments) : {}
    return if answer["fits"] != false || answer["is_estimate"]

    longest, texts = answer["max_model_len"], { model: @values["typed_model"], advice: advice_of_command(answer) }
    # In the words of the node. A model that fits with no context at all has no longest one.
    refuse_context(longest, **texts) if longest.is_a?(Integer) && longest.positive? && longest < context_length
    refuse_fit(answer["reason"].to_s, **texts)
  end

  # The command knows neither hours nor QoS.
  def advice_of_command(answer)
    other = answer["suggestion"]
    return fill("no_advice", {}) unless other

    place = [other["gpu_type"], other["num_gpus"].to_s]
    return fill("advice_for_less", place: place_title(place)) unless serving_qos(offer_of(place))

    advice_of(place, [other.fetch("quantization", @values["quantization"]), other.fetch("preset", @values["preset"])])
  end

  def fit_arguments
    place = ["--gpu-type", @values["gpu_type"], "--num-gpus", @values["num_gpus"]]
    length = context_length.positive? ? ["--max-model-len", context_length.to_s] : []
    variant = ["--quantization", @values["quantization"], "--preset", @values["preset"]]
    # The site may be another file than the command's own.
    site = ["--site", File.expand_path(@catalogue["made_from"].first["file"], @folder)]
    ["--model", @values["typed_model"], *place, *length, *variant, *site, "--json"]
  end

  def native
    [
      "--partition=#{@offer["partition"]}",
      *("--qos=#{@qos["name"]}" if @qos["name"]),
      *gpus,
      *("--constraint=#{@offer["constraint"]}" if @offer["constraint"]),
      "--nodes=#{@offer["nodes"]}",
      "--ntasks-per-node=1",
      "--cpus-per-task=#{@offer["cores"]}",
      "--mem=#{@offer["memory_gib"]}G",
      "--no-requeue", # a second start would find the first one's secret, port and conversation
      *("--no-kill" if @offer["nodes"] > 1), # a lost node ends vLLM, not the session
      *("--exclusive" if @offer["exclusive"]),
    ]
  end

  def gpus
    return [] unless @offer["gres"]
    return ["--gres=#{@offer["gres"]}"] if @offer["nodes"] == 1

    ["--gpus-per-node=#{@offer["gres"].delete_prefix("gpu:")}"]
  end

  def typed?
    @values["model"] == OTHER_MODEL
  end

  # 0 = as long as fits.
  def context_length
    @values["context_length"].to_i
  end

  def here
    [@values["gpu_type"], @values["num_gpus"]]
  end

  def own_variant
    [@values["quantization"], @values["preset"]]
  end

  def place
    place_title(here)
  end

  def place_title(place)
    gpu_type, count = place
    "#{count} x #{find(@catalogue["gpu_types"], gpu_type)["title"]}"
  end

  def offer_of(place)
    @catalogue["offers"].dig(*place)
  end

  def shown(field)
    JSON.generate(@values[field][0, SHOWN_LENGTH])
  end

  def find(entries, name)
    entries.find { |each| each["name"] == name }
  end

  # Titles say what an option is, and after a colon what it does.
  def short_title(option)
    option["title"].partition(":").first
  end

  def titles(entries)
    entries.map { |each| each["title"] }
  end

  def names(entries)
    entries.map { |each| each["name"] }
  end

  def listed(texts)
    texts.join(", ")
  end

  def fill(kind, values)
    @catalogue["sentences"].fetch(kind).gsub(/%\{([a-z_]+)\}/) { values.fetch(Regexp.last_match(1).to_sym) }
  end

  def refuse(kind, values)
    raise fill(kind, values)
  end
end

# llm-hoster on the portal, as site.yml names it.
class PortalCommand
  LIMIT_S = 20

  def initialize(program, folder)
    @program = program.gsub(/\$(\w+)/) { ENV.fetch(Regexp.last_match(1), "") }
    @folder = folder
  end

  # What it prints, as a hash; an empty one where it fails, prints something else or takes too long.
  def answer(*arguments)
    output, input = IO.pipe(Encoding::UTF_8)
    pid = Process.spawn(environment, [@program, @program], *arguments,
                        unsetenv_others: true, pgroup: true, chdir: @folder, in: File::NULL, out: input, err: File::NULL)
    input.close
    text = Timeout.timeout(LIMIT_S) { output.read.tap { Process.wait(pid) } }
    pid = nil
    $?.success? ? Hash(JSON.parse(text)) : {}
  rescue SystemCallError, Timeout::Error, JSON::ParserError, TypeError
    {}
  ensure
    output&.close
    input&.close
    end_group(pid) if pid
  end

  private

  # The portal's own variables are for its own Ruby and Python.
  def environment
    ENV.to_h.slice("HOME", "USER", "LOGNAME").merge("PATH" => "/usr/bin:/bin", "LC_ALL" => "C.UTF-8")
  end

  def end_group(pid)
    Process.kill(:KILL, -pid)
    Process.wait(pid)
  rescue SystemCallError
    nil # it ended by itself
  end
end
