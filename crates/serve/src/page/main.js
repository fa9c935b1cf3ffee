// Opens a chat, or for a model that was never taught to chat a page that continues texts.
import { model } from "./api.js";
import { Chat } from "./chat.js";
import { Completion } from "./complete.js";
import { element, note } from "./dom.js";
import { take } from "./link.js";
import { settings } from "./settings.js";

const place = document.getElementById("main");
let page;

async function open() {
  let served;
  try {
    served = await model();
  } catch (error) {
    settings.open(true, open);
    const hint = error.status === 401 ? "This server asks for a key." : error.message;
    place.replaceChildren(element("div", { class: "log" }, element("p", { class: "empty", role: "alert" }, hint)));
    if (error.status === 401) document.getElementById("settings-open").click();
    return;
  }
  document.getElementById("model").textContent = served.id;
  document.title = `${served.id} · Maquette`;
  page = served.is_chat ? new Chat(served, place) : new Completion(served, place);
  settings.open(served.is_chat, () => {});
  const link = take();
  if (link) page.follow(link);
}

document.getElementById("new").onclick = () => page?.reset();
document.getElementById("export").onclick = () => page?.export();
document.getElementById("import").onclick = () => document.getElementById("file").click();
document.getElementById("file").onchange = async (event) => {
  const [file] = event.target.files;
  event.target.value = "";
  if (!file || !page) return;
  try {
    page.import(JSON.parse(await file.text()));
  } catch (error) {
    note(`Cannot import this file: ${error.message}`);
  }
};
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !document.getElementById("settings").open) {
    document.getElementById("tip").hidden = true;
    page?.stop();
  }
});
open();
