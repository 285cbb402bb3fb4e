// Server-sent events over fetch, which can send the Authorization header; reconnects with growing pauses.

const FIRST_MS = 500, LONGEST_MS = 10_000, DEAD_MS = 6_000;

export const token = {
  get: () => sessionStorage.getItem("token") || "",
  set: (value) => (value ? sessionStorage.setItem("token", value) : sessionStorage.removeItem("token")),
};

export function headers(more) {
  const given = token.get();
  return given ? { ...more, Authorization: `Bearer ${given}` } : { ...more };
}

// Calls `on(name, data)` for each event and `link(state, detail)` when the connection changes.
export class Stream {
  constructor(path, on, link) {
    Object.assign(this, { path, on, link, id: "", pause: FIRST_MS, ended: false });
    this.run();
  }

  end() {
    this.ended = true;
    if (this.control) this.control.abort();
  }

  async run() {
    while (!this.ended) {
      let why = "the server ended the stream";
      try {
        if ((await this.once()) === "denied") return;
      } catch (error) {
        why = String(error && error.message ? error.message : error);
      }
      if (this.ended) return;
      this.link("lost", { why });
      await new Promise((done) => setTimeout(done, this.pause * (0.75 + Math.random() / 2)));
      this.pause = Math.min(this.pause * 2, LONGEST_MS);
    }
  }

  async once() {
    const control = (this.control = new AbortController());
    const query = this.id ? `${this.path.includes("?") ? "&" : "?"}since=${encodeURIComponent(this.id)}` : "";
    let heard = setTimeout(() => control.abort(), DEAD_MS); // the server speaks every second
    const alive = () => {
      clearTimeout(heard);
      heard = setTimeout(() => control.abort(), DEAD_MS);
    };
    try {
      const response = await fetch(this.path + query, { headers: headers(), signal: control.signal });
      if (response.status === 401 || response.status === 403 || response.status === 404) {
        this.link("denied", await response.json());
        return "denied";
      }
      if (!response.ok) throw new Error((await response.json()).detail || `the server answered ${response.status}`);
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return "ended";
        alive();
        rest += value;
        const parts = rest.split("\n\n");
        rest = parts.pop();
        for (const part of parts) this.take(part);
      }
    } finally {
      clearTimeout(heard);
      control.abort();
    }
  }

  take(part) {
    const field = {};
    for (const line of part.split("\n")) {
      const at = line.indexOf(": ");
      field[line.slice(0, at)] = line.slice(at + 2);
    }
    if (!field.data) return;
    this.id = field.id;
    this.pause = FIRST_MS;
    this.on(field.event, JSON.parse(field.data));
    this.link("live", {});
  }
}
