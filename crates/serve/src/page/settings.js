// How answers are sampled. Kept in the browser; the key for this tab alone.

const DEFAULTS = { system: "", temperature: 0.8, top_p: 1, top_k: 0, min_p: 0, repetition_penalty: 1, frequency_penalty: 0, presence_penalty: 0, max_tokens: 1024, seed: "", stop: "" };

class Settings {
  #values = { ...DEFAULTS };

  constructor() {
    try {
      this.set(JSON.parse(localStorage.getItem("settings") ?? "{}"));
    } catch { /* what another version wrote */ }
  }

  get values() {
    return { ...this.#values };
  }

  /** Takes the values that are known and of the right kind. */
  set(values) {
    for (const [name, value] of Object.entries(DEFAULTS)) {
      const given = values?.[name];
      if (typeof given === typeof value && (typeof given !== "number" || Number.isFinite(given))) this.#values[name] = given;
    }
    try {
      localStorage.setItem("settings", JSON.stringify(this.#values));
    } catch { /* a browser that keeps nothing */ }
  }

  key() {
    try {
      return sessionStorage.getItem("key") ?? "";
    } catch {
      return "";
    }
  }

  /** What a request says of sampling, with a seed that is known. */
  sampling() {
    const { system, seed, stop, ...sampling } = this.#values;
    const own = /^\d{1,15}$/.test(seed) ? Number(seed) : crypto.getRandomValues(new Uint32Array(1))[0];
    return { ...sampling, seed: own, ...(stop ? { stop: [stop] } : {}) };
  }

  /** Connects the form. */
  open(isChat, changed) {
    const dialog = document.getElementById("settings");
    const form = document.getElementById("settings-form");
    dialog.querySelector(".chat-only").hidden = !isChat;
    const fill = () => {
      for (const name of Object.keys(DEFAULTS)) form.elements[name].value = this.#values[name];
      form.elements.key.value = this.key();
    };
    document.getElementById("settings-open").onclick = () => {
      fill();
      dialog.showModal();
    };
    document.getElementById("settings-reset").onclick = () => {
      this.set(DEFAULTS);
      fill();
    };
    dialog.onclose = () => {
      const read = (name) => {
        const field = form.elements[name];
        return typeof DEFAULTS[name] !== "number" ? field.value : field.value === "" ? DEFAULTS[name] : Number(field.value);
      };
      this.set(Object.fromEntries(Object.keys(DEFAULTS).map((name) => [name, read(name)])));
      try {
        sessionStorage.setItem("key", form.elements.key.value.trim());
      } catch { /* asked for again */ }
      changed();
    };
  }
}

export const settings = new Settings();
