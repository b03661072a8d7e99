"""The job script that OnDemand wraps around an app's before.sh, script.sh and after.sh.

Order and effect are OnDemand's; so are its weak spots (failing commands of sourced files are ignored, only direct
children are ended by clean_up), because an app must be right with them.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HELPERS = r"""
source_helpers () {
  # A random number of [$1..$2].
  random_number () {
    shuf -i "${1}-${2}" -n 1
  }
  export -f random_number

  # Does something listen on $1, a port or host:port? The tools are tried in OnDemand's order; a node may have none.
  port_used () {
    local port="${1##*:}" host="localhost"
    [[ "${1}" == *:* ]] && host="${1%:*}"
    if command -v nc > /dev/null; then
      nc -w 2 "${host}" "${port}" < /dev/null &> /dev/null
    elif command -v lsof > /dev/null; then
      lsof -i :"${port}" &> /dev/null
    elif command -v strings > /dev/null; then
      (: < "/dev/tcp/${host}/${port}") &> /dev/null
    elif command -v python3 > /dev/null; then
      python3 -c 'import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 2)' \
        "${host}" "${port}" &> /dev/null
    else
      return 127
    fi
  }
  export -f port_used

  # A port of host $1 in [$2..$3] that nothing listens on now; another process may take it a moment later.
  find_port () {
    local host="${1:-localhost}" low="${2:-@MIN_PORT@}" high="${3:-@MAX_PORT@}" port
    port=$(random_number "${low}" "${high}")
    while port_used "${host}:${port}"; do
      port=$(random_number "${low}" "${high}")
    done
    echo "${port}"
  }
  export -f find_port

  # Wait up to $2 seconds until something listens on $1.
  wait_until_port_used () {
    local where="${1}" tries=$(( ${2:-30} * 2 ))
    while (( tries-- > 0 )); do
      port_used "${where}"
      case $? in
        0) return 0 ;;
        127) return 127 ;;
      esac
      sleep 0.5
    done
    return 1
  }
  export -f wait_until_port_used

  # $1 random letters and digits.
  create_passwd () {
    tr -cd 'a-zA-Z0-9' < /dev/urandom 2> /dev/null | head -c "${1:-@PASSWORD_SIZE@}"
  }
  export -f create_passwd
}
export -f source_helpers
source_helpers
"""

BODY = r"""
# OnDemand does not quote this path: a space or a quote in a home folder's name ends its job here.
cd @WORK_DIR@

export host
export port

create_yml () {
  echo "Generating connection YAML file..."
  (
    umask 077
    echo -e "@CONNECTION@" > @CONNECTION_FILE@
  )
}

clean_up () {
  echo "Cleaning up..."
  [[ -e @CLEAN_FILE@ ]] && source @CLEAN_FILE@
  [[ ${SCRIPT_PID} ]] && pkill -P "${SCRIPT_PID}" || :
  pkill -P $$
  exit "${1:-0}"
}
@HELPERS@
@SET_HOST@

[[ -e @BEFORE_FILE@ ]] && source @BEFORE_FILE@

echo "Script starting..."
@RUN_SCRIPT@ &
SCRIPT_PID=$!

[[ -e @AFTER_FILE@ ]] && source @AFTER_FILE@

create_yml

wait "${SCRIPT_PID}" || clean_up 1

clean_up
"""


def job_script(staged_root: Path, options: Mapping[str, Any]) -> str:
    """Return the script's text without its first line; `options` is submit.yml's `batch_connect`."""

    def path(name: str) -> str:
        return shlex.quote(str(staged_root / name))

    names = [*dict.fromkeys([*map(str, options.get("conn_params") or []), "host", "port", "password"])]
    run = path("script.sh")
    if options.get("timeout"):
        run = f"timeout {shlex.quote(str(options['timeout']))} {run}"
    helpers = fill(
        HELPERS,
        MIN_PORT=str(int(options.get("min_port", 2000))),
        MAX_PORT=str(int(options.get("max_port", 65535))),
        PASSWORD_SIZE=str(int(options.get("password_size", 8))),
    )
    body = fill(
        BODY,
        HELPERS=helpers,
        WORK_DIR=shlex.quote(str(staged_root)),
        CONNECTION="\\n".join(f"{name}: ${name}" for name in names),
        CONNECTION_FILE=path("connection.yml"),
        CLEAN_FILE=path("clean.sh"),
        BEFORE_FILE=path("before.sh"),
        AFTER_FILE=path("after.sh"),
        RUN_SCRIPT=run,
        SET_HOST=str(options.get("set_host", "host=$(hostname)")),
    )
    wrapper = str(options.get("script_wrapper", "%s"))
    wrapped = body.join(part.replace("%%", "%") for part in wrapper.split("%s"))
    return "\n".join([str(options.get("header", "")), wrapped, str(options.get("footer", "")), ""])


def fill(text: str, **values: str) -> str:
    """Replace each @NAME@, in one pass so that a value cannot be filled again."""
    parts = text.split("@")
    for position in range(1, len(parts), 2):
        if parts[position] in values:
            parts[position] = values[parts[position]]
    return "".join(parts)
