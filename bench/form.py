"""
What the form takes of a person's time: an update of its preview after a change, and the portal's own work for it.

The page is the stand-in's with Alpine's form, in real Chromium; real Ruby reads form.yml and submit.yml.erb, as in the
portal.
"""

from __future__ import annotations

import json
import random
import statistics
import subprocess
from pathlib import Path
from secrets import token_hex

import click
from playwright.sync_api import Page, sync_playwright

from bench.report import percentile, print_report
from llm_hoster.catalogue.compiled import Catalogue
from portal.chromium import CHROMIUM, FLAGS
from portal.dashboard_server import serve_dashboard
from portal.demo_app import REPOSITORY
from portal.settings import PortalSettings
from portal.smoke_steps import NEW_FORM

FIELD = "batch_connect_session_context_"
# Runs in the page: the preview is updated before dispatchEvent returns.
CHANGE = """
([id, value]) => {
  const field = document.getElementById(id);
  field.value = value;
  const begun = performance.now();
  field.dispatchEvent(new Event("input", { bubbles: true }));
  field.dispatchEvent(new Event("change", { bubbles: true }));
  return performance.now() - begun;
}
"""
# Each line is one round of the portal's own work, in milliseconds.
PORTAL_WORK = """
require "erb"; require "json"; require "ostruct"; require "yaml"
app, rounds, values = ARGV[0], ARGV[1].to_i, JSON.parse(ARGV[2])
clock = -> { Process.clock_gettime(Process::CLOCK_MONOTONIC) * 1000 }
measure = ->(work) { begun = clock.call; work.call; clock.call - begun }
form = -> { YAML.safe_load(ERB.new(File.read("#{app}/form.yml"), trim_mode: "-").result); File.read("#{app}/form.js") }
submit = lambda do
  erb = ERB.new(File.read("#{app}/submit.yml.erb"), trim_mode: "-")
  erb.filename = "#{app}/submit.yml.erb"
  YAML.safe_load(erb.result(OpenStruct.new(values).instance_eval { binding }))
end
rounds.times { puts JSON.generate("form" => measure[form], "submit" => measure[submit]) }
"""


@click.command()
@click.option("--rounds", default=300, show_default=True, help="How many changes, and how many readings by Ruby.")
@click.option("--json", "only_json", is_flag=True, help="Print the last line alone.")
def form(rounds: int, only_json: bool) -> None:
    """Measure an update of the preview, the reading of the form, and a submit, in ms."""
    catalogue = Catalogue.model_validate_json((REPOSITORY / "catalogue.json").read_text())
    settings = PortalSettings(REPOSITORY, Path("never-launched"), token_hex(), accounts=("ucb-general",))
    with serve_dashboard(settings) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS])
        page = browser.new_page()
        page.goto(url + NEW_FORM)
        preview = measure_preview(page, catalogue, rounds)
        browser.close()
    work = measure_portal(catalogue, rounds)
    rows = {
        "preview after a change, ms": preview,
        "form.yml and form.js, by Ruby, ms": [each["form"] for each in work],
        "submit.yml.erb, by Ruby, ms": [each["submit"] for each in work],
    }
    result = {
        "preview_ms_p50": statistics.median(preview),
        "preview_ms_p99": percentile(preview, 0.99),
        "form_ms_p50": statistics.median(each["form"] for each in work),
        "submit_ms_p50": statistics.median(each["submit"] for each in work),
    }
    print_report(rows, result, only_json=only_json)


def measure_preview(page: Page, catalogue: Catalogue, rounds: int) -> list[float]:
    chance = random.Random(1)  # noqa: S311 - the same changes each time
    wishes = {
        "model": [model.name for model in catalogue.models],
        "gpu_type": [gpu_type.name for gpu_type in catalogue.gpu_types],
        "num_gpus": ["1", "2", "3", "4"],
        "bc_num_hours": ["1", "4", "24", "200"],
        "quantization": [each.name for each in catalogue.quantizations],
        "preset": [each.name for each in catalogue.presets],
        "context_length": ["auto", *map(str, catalogue.context_lengths)],
    }
    changes = [(name, chance.choice(wishes[name])) for name in chance.choices(list(wishes), k=rounds)]
    return [float(page.evaluate(CHANGE, [FIELD + name, value])) for name, value in changes]


def measure_portal(catalogue: Catalogue, rounds: int) -> list[dict[str, float]]:
    values = {
        "form_id": catalogue.form_id,
        "model": "qwen3-4b",
        "gpu_type": "a100-40gb",
        "num_gpus": "1",
        "bc_num_hours": "4",
        "auto_accounts": "ucb-general",
    }
    command = ["ruby", "-e", PORTAL_WORK, str(REPOSITORY), str(rounds), json.dumps(values)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - our own words
    return [json.loads(line) for line in done.stdout.splitlines()]


if __name__ == "__main__":
    form()
