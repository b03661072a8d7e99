# OnDemand sources this in the job beside script.sh; when it is done, OnDemand writes connection.yml and the card shows
# Connect. It may rely on $SCRIPT_PID and clean_up. It defines: port and card (for connection.yml).
# Sourced: no `exit`, no `set -e`.
# shellcheck shell=bash

# `llm-hoster serve` writes the file `port` last, when the chat page answers: seconds, not the minutes of the model.
wait_for_llm_hoster() {
  local deadline=$((SECONDS + 180))
  while [[ ! -s port ]]; do
    # shellcheck disable=SC2154 # OnDemand sets SCRIPT_PID
    if ! kill -0 "$SCRIPT_PID" 2>/dev/null; then
      echo "$(date '+%F %T') session: it ended before its page answered; the lines above say why"
      clean_up 1
    fi
    if ((SECONDS >= deadline)); then
      echo "$(date '+%F %T') session: its page did not answer within 180 s; vllm.log and web.log may say why"
      clean_up 1
    fi
    sleep 0.1
  done
}
wait_for_llm_hoster

# shellcheck disable=SC2034 # OnDemand reads both
port=$(<port) card=$(<card)
