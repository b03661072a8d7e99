// The events of a reply. When they are cut off they are asked for again: a few times by itself, as soon as the browser
// has a network again, and when somebody wants it.
const NAMES = ["reasoning", "text", "block", "facts", "done"];
const TRIES = 6;

export class ReplyEvents {
  // `address` gives where the rest is, `tell` hears that it is "open", "reconnecting" or "unreachable".
  constructor(address, take, tell) {
    Object.assign(this, { address, take, tell });
    this.online = () => this.connect();
    window.addEventListener("online", this.online);
    this.connect();
  }

  connect() {
    this.failures = 0;
    this.open();
  }

  open() {
    clearTimeout(this.timer);
    this.source?.close();
    const source = new EventSource(this.address());
    this.source = source;
    source.addEventListener("open", () => {
      this.failures = 0;
      this.tell("open");
    });
    for (const name of NAMES) {
      source.addEventListener(name, (event) => {
        if (name === "done") this.close();
        this.take({ name, number: Number(event.lastEventId), data: JSON.parse(event.data) });
      });
    }
    source.addEventListener("error", () => this.fail());
  }

  // Its own tries would end at the first answer of a portal that does not find the session for a moment.
  fail() {
    this.source.close();
    this.failures += 1;
    this.tell(this.failures < TRIES ? "reconnecting" : "unreachable");
    if (this.failures < TRIES) this.timer = setTimeout(() => this.open(), this.failures * 1000);
  }

  close() {
    this.source.close();
    window.removeEventListener("online", this.online);
  }
}
