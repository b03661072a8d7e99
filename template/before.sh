# OnDemand sources this in the job, in the staged folder, before script.sh starts. It may rely on $host and create_passwd.
# It defines: password (for connection.yml), LLM_HOSTER_HOST and the file `secret` (for script.sh).
# Sourced: no `exit`, no `set -e`, or the whole job ends without a word.
# shellcheck shell=bash

# The folder arrives with the mode of template/, which everyone can read.
chmod 700 "$PWD"
umask 077

# A requeued job starts in the folder of its former run: what that left would make the card show it as running.
rm -f port card connection.yml endpoint.json outcome.json successor.json next.json

# The portal gives the secret to the card, which posts it to the login page. It is in no argument and no variable of
# another process. A session that follows another has that one's: the one card opens both.
if [[ -s predecessor.json && -s secret ]]; then
  password=$(<secret)
else
  password=$(create_passwd 32)
  printf '%s' "$password" >secret
fi

# OnDemand's name for this node is the one by which the portal's proxy reaches it.
# shellcheck disable=SC2154 # OnDemand sets host
export LLM_HOSTER_HOST="$host"
