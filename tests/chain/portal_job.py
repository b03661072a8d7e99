"""
What the portal does for a person, as that person: launch a session, show its card.

`python -m tests.chain.portal_job SETTINGS launch|card` with the form's values, or the session's id, as JSON on stdin.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from portal.batch_app import FIELD_PREFIX, BatchApp
from portal.batch_session import SessionStore
from portal.launch import launch
from portal.ruby import ask_ruby
from portal.settings import PortalSettings


def main() -> None:
    settings = PortalSettings.from_file(Path(sys.argv[1]))
    store = SessionStore(settings)
    given = json.load(sys.stdin)
    if sys.argv[2] == "launch":
        app = BatchApp.from_folder(settings.app_root, settings.token)
        assert app.problem is None, app.problem
        context = app.context({f"{FIELD_PREFIX}[{name}]": value for name, value in given.items()})
        session = launch(settings, app, context)
        answer = {"id": session.id, "job_id": session.job_id, "folder": str(store.staged_root(session))}
    else:
        found = store.find(given)
        assert found is not None, given
        answer = ask_ruby({"do": "card", "session": store.for_ruby(found, store.job_info(found))})
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
