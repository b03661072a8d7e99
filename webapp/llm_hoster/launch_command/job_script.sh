# The job of a session from `llm-hoster launch`: what OnDemand's own job script does around before.sh, script.sh and
# after.sh, but for the files of a card.
# shellcheck shell=bash disable=SC1091,SC2317 # the three lie in the folder of the session, and call what is here

cd @FOLDER@ || exit 1

# The name by which other nodes reach this one.
host=$(hostname)
export host

# Give $1 random letters and digits.
create_passwd() {
  tr -cd 'a-zA-Z0-9' </dev/urandom 2>/dev/null | head -c "$1"
}

# End the job with status $1.
clean_up() {
  [[ -z ${SCRIPT_PID-} ]] || kill "$SCRIPT_PID" 2>/dev/null
  exit "${1:-0}"
}

source ./before.sh
./script.sh &
SCRIPT_PID=$!
source ./after.sh
wait "$SCRIPT_PID" || clean_up 1
clean_up
