// Pictures that a message shows to a model with eyes: chosen, dropped or pasted, and sent as data URLs.
import { button, element, note } from "./dom.js";

const KINDS = ["image/png", "image/jpeg", "image/webp", "image/gif"];
const MAX_BYTES = 4 << 20;

/** Whether a text is a picture that may be shown: nothing else of a file that is imported is. */
export const isPicture = (url) => typeof url === "string" && KINDS.some((kind) => url.startsWith(`data:${kind};base64,`));

/** The pictures of a message. */
export function show(urls) {
  return element("div", { class: "pictures" }, ...urls.map((url, i) => element("img", { src: url, alt: `Picture ${i + 1}` })));
}

/** Pictures for the next message. */
export class Pictures {
  #urls = [];
  #place = element("div", { class: "pictures", hidden: true });
  #file = element("input", { type: "file", accept: KINDS.join(","), multiple: true, hidden: true, "aria-label": "Pictures to show", id: "picture" });
  /** What belongs into the form. */
  nodes;

  constructor(input) {
    const choose = button("Picture", () => this.#file.click(), { title: "Show the model a picture" });
    this.nodes = [this.#place, this.#file, choose];
    this.#file.addEventListener("change", () => {
      this.#add([...this.#file.files]);
      this.#file.value = "";
    });
    input.addEventListener("paste", (event) => this.#taken(event, event.clipboardData));
    input.addEventListener("drop", (event) => this.#taken(event, event.dataTransfer));
  }

  #taken(event, data) {
    const files = [...(data?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    this.#add(files);
  }

  async #add(files) {
    for (const file of files) {
      if (!KINDS.includes(file.type)) note(`${file.name} is no PNG, JPEG, WebP or GIF`);
      else if (file.size > MAX_BYTES) note(`${file.name} is larger than 4 MiB`);
      else this.#urls.push(await read(file));
    }
    this.#draw();
  }

  #draw() {
    const one = (url, i) => element("span", { class: "picture" }, element("img", { src: url, alt: `Picture ${i + 1}` }),
      button("×", () => { this.#urls.splice(i, 1); this.#draw(); }, { class: "quiet", "aria-label": `Remove picture ${i + 1}` }));
    this.#place.replaceChildren(...this.#urls.map(one));
    this.#place.hidden = !this.#urls.length;
  }

  /** The pictures, which are none from now on. */
  take() {
    const urls = this.#urls;
    this.#urls = [];
    this.#draw();
    return urls;
  }
}

function read(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}
