// Drives the page of a running `maquette serve` in headless Chromium: two sizes, light and dark, and axe on each view.
//
//     mkdir /tmp/page && cd /tmp/page && npm install puppeteer-core@24 axe-core@4
//     node PROJECT/tools/check_page.mjs http://127.0.0.1:8080 shots [picture.png]
//
// Run it in the folder of these packages. CHROMIUM names the browser if it is not /usr/bin/chromium. A model that was taught to chat
// is chatted with, another continues texts; the picture is shown to a model that reads pictures. Screenshots go to `shots`, to be
// looked at. Fails if anything is not as it should be.
import { readFileSync, mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(`${process.cwd()}/`);
const puppeteer = require("puppeteer-core");
const axeSource = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const [, , url, out, picture] = process.argv;
mkdirSync(out, { recursive: true });
const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--force-color-profile=srgb"],
  protocolTimeout: 900000,
});
const PATIENCE = { timeout: 600000 };
let nFailed = 0;

const assert = (holds, what) => {
  console.log(holds ? "ok  " : "FAIL", what);
  if (!holds) nFailed += 1;
};

const click = (page, label, scope = "") => page.evaluate((label, scope) => {
  const all = [...document.querySelectorAll(`${scope} button`)].filter((one) => one.textContent === label || one.ariaLabel === label);
  if (!all.length) throw new Error(`no button ${label}`);
  all.at(-1).click();
}, label, scope);

async function axe(page, name) {
  await page.evaluate(axeSource);
  const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  const serious = violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
  const shown = serious.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.target).join(", ")}`);
  assert(!serious.length, `axe, ${name}: ${shown.join(" | ") || "nothing serious"}`);
  const rest = violations.filter(({ impact }) => !["serious", "critical"].includes(impact));
  if (rest.length) console.log("     less than serious:", rest.map(({ id }) => id).join(", "));
}

/** A page in a context of its own, with settings, whose errors are collected. */
async function open([width, height], scheme, context) {
  const page = await context.newPage();
  page.errors = [];
  page.on("pageerror", (error) => page.errors.push(String(error)));
  page.on("console", (message) => message.type() === "error" && page.errors.push(message.text()));
  page.on("requestfinished", (request) => {
    if (![url, "data:", "blob:"].some((own) => request.url().startsWith(own))) page.errors.push(`foreign: ${request.url()}`);
  });
  await page.setViewport({ width, height, deviceScaleFactor: 1 });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
  await page.goto(url);
  await page.waitForSelector("main textarea");
  await page.evaluate(() => localStorage.setItem("settings", JSON.stringify({ max_tokens: 60, temperature: 0.7, seed: "3" })));
  await page.reload();
  await page.waitForSelector("main textarea");
  return page;
}

const isIdle = () => document.querySelector(".log")?.getAttribute("aria-busy") === "false" && document.querySelector(".composer .first").textContent === "Send";
const idle = (page) => page.waitForFunction(isIdle, PATIENCE);
const bodies = (page) => page.$$eval(".assistant .body", (all) => all.map((one) => one.innerText));
const last = async (page) => (await bodies(page)).at(-1);
const tools = (page) => page.$$eval(".assistant .tools", (all) => all.at(-1).textContent);
const kept = (page) => page.evaluate(() => JSON.parse(localStorage.getItem("conversation")));
const begun = (page, n, length) => page.waitForFunction((n, length) => {
  const all = document.querySelectorAll(".assistant .body");
  return all.length === n && all[n - 1].textContent.length > length;
}, PATIENCE, n, length);

async function link(page) {
  return page.evaluate(() => {
    navigator.clipboard.writeText = () => Promise.reject(new Error());
    const shown = new Promise((resolve) => (window.prompt = (_, text) => resolve(text)));
    [...document.querySelectorAll("button")].find((one) => one.textContent === "Link").click();
    return shown;
  });
}

/** A reload in mid-stream keeps what had come; an answer is stopped, and continued. */
async function interrupted(page, name) {
  await page.evaluate(() => {
    const settings = JSON.parse(localStorage.getItem("settings"));
    localStorage.setItem("settings", JSON.stringify({ ...settings, max_tokens: 400 }));
  });
  await page.reload();
  await page.waitForSelector(".message");
  await page.type(".composer textarea", "Write a long story about the sea.");
  await page.keyboard.press("Enter");
  await begun(page, 2, 60);
  await new Promise((done) => setTimeout(done, 1300));
  await page.reload();
  await page.waitForSelector(".message");
  assert((await bodies(page)).length === 2 && (await last(page)).length > 20, `${name}: a reload in mid-stream keeps what had come`);
  await click(page, "Regenerate");
  await begun(page, 2, 20);
  await page.keyboard.press("Escape");
  await idle(page);
  assert((await tools(page)).includes("stopped"), `${name}: Escape stops an answer`);
  const half = (await kept(page)).nodes.at(-1).content;
  await page.evaluate(() => {
    const settings = JSON.parse(localStorage.getItem("settings"));
    localStorage.setItem("settings", JSON.stringify({ ...settings, max_tokens: 10 }));
  });
  await page.reload();
  await page.waitForSelector(".message");
  await click(page, "Continue");
  await idle(page);
  assert((await kept(page)).nodes.at(-1).content.startsWith(half), `${name}: a stopped answer is continued`);
}

async function chat(name, size, scheme, card) {
  const context = await browser.createBrowserContext();
  const page = await open(size, scheme, context);
  const shot = (what) => page.screenshot({ path: `${out}/${name}-${what}.png` });
  await shot("empty");
  await axe(page, `${name}, empty`);

  await page.type(".composer textarea", "Give me a short list of three fruits.");
  await page.keyboard.press("Enter");
  await begun(page, 1, 5);
  await shot("streaming");
  await idle(page);
  await shot("answered");
  const first = await last(page);
  assert(first.length > 5, `${name}: an answer came`);
  await click(page, "Regenerate");
  await idle(page);
  assert((await last(page)) === first, `${name}: the same seed gives the same answer`);
  assert((await tools(page)).includes("2 / 2"), `${name}: both are kept as branches`);
  await click(page, "Version before");
  assert((await tools(page)).includes("1 / 2"), `${name}: the first branch is shown`);

  await click(page, "Edit", ".assistant");
  await page.evaluate(() => {
    const area = document.querySelector(".editor textarea");
    area.value = "Here are three fruits:\n\n1. ";
    area.dispatchEvent(new Event("input"));
  });
  await shot("editing");
  await click(page, "Continue from here");
  await idle(page);
  const nodes = (await kept(page)).nodes;
  assert(nodes.at(-1).content.startsWith("Here are three fruits:\n\n1. ") && nodes.at(-1).tokens.length > 0, `${name}: an answer is edited and continued`);

  const more = nodes.findLast((node) => node.tokens?.length > 6);
  while (!(await tools(page)).includes(`${nodes.filter((node) => node.role === "assistant").indexOf(more) + 1} / `)) await click(page, "Version before");
  await click(page, "Probabilities");
  const shown = await page.$$(".token");
  assert(shown.length === more.tokens.length, `${name}: its tokens are shown`);
  await shown[3].hover();
  await page.waitForSelector("#tip:not([hidden])");
  await shot("probabilities");
  await axe(page, `${name}, probabilities`);
  const [other] = await page.$$("#tip button");
  await other.click();
  await page.waitForFunction((n) => JSON.parse(localStorage.getItem("conversation")).nodes.length > n, PATIENCE, nodes.length);
  await idle(page);
  assert((await kept(page)).nodes.at(-1).begun.length > 0, `${name}: another token is a branch of its own`);

  // Another question in place of the first is a branch too.
  const nBefore = (await kept(page)).nodes.length;
  await click(page, "Edit", ".user");
  await page.evaluate(() => (document.querySelector(".editor textarea").value = "Name a colour."));
  await click(page, "Send", ".editor");
  await page.waitForFunction((n) => JSON.parse(localStorage.getItem("conversation")).nodes.length >= n + 2, PATIENCE, nBefore);
  await idle(page);
  assert((await page.$eval(".user .tools", (one) => one.textContent)).includes("2 / 2"), `${name}: a question is edited`);

  // What is exported is what is imported.
  const text = JSON.stringify({ ...(await kept(page)), settings: {} });
  const exported = page.evaluate(() => new Promise((resolve) => {
    const make = URL.createObjectURL;
    URL.createObjectURL = (blob) => (blob.text().then(resolve), (URL.createObjectURL = make)(blob));
  }));
  await click(page, "Export");
  const written = JSON.parse(await exported);
  assert(JSON.stringify({ ...written, model: undefined, settings: {} }) === text && written.model === card.id, `${name}: the conversation is exported whole`);
  writeFileSync(`${out}/${name}-conversation.json`, JSON.stringify(written));
  const before = await page.$eval(".log", (log) => log.innerText);
  await click(page, "New");
  assert((await page.$$(".message")).length === 0, `${name}: a new conversation is empty`);
  await (await page.$("#file")).uploadFile(`${out}/${name}-conversation.json`);
  await page.waitForSelector(".message");
  assert((await page.$eval(".log", (log) => log.innerText)) === before, `${name}: it is imported as it was`);
  writeFileSync(`${out}/broken.json`, '{"format": "maquette-chat", "nodes": [{"id": 2, "parent": 7}]}');
  await (await page.$("#file")).uploadFile(`${out}/broken.json`);
  await page.waitForSelector("#note:not([hidden])");
  assert((await page.$eval(".log", (log) => log.innerText)) === before, `${name}: a broken file changes nothing`);

  // A link decodes the same answer again; what reads pictures has none for conversations with some.
  const linked = await last(page);
  const elsewhere = await browser.createBrowserContext();
  const visitor = await elsewhere.newPage();
  await visitor.goto(await link(page));
  await visitor.waitForSelector(".assistant");
  await idle(visitor);
  const again = await last(visitor);
  const error = await visitor.$$eval(".error", (all) => all.map((one) => one.textContent).join(" "));
  assert(again === linked, `${name}: a link decodes the same answer ${again === linked ? "" : JSON.stringify([linked, again, error])}`);
  await elsewhere.close();

  // Answers of models with a short context end too soon for these.
  if (card.max_model_len >= 1000) await interrupted(page, name);

  if (card.reads_images && picture) {
    await click(page, "New");
    await (await page.$("#picture")).uploadFile(picture);
    await page.waitForSelector(".composer .picture img");
    await page.type(".composer textarea", "What is there?");
    await shot("picture");
    await axe(page, `${name}, picture`);
    await page.keyboard.press("Enter");
    await page.waitForSelector(".assistant");
    await idle(page);
    const [asked, answer] = (await kept(page)).nodes;
    assert(asked.images?.[0].startsWith("data:image/") && !answer.error, `${name}: a picture is shown to the model`);
    await page.reload();
    await page.waitForSelector(".user img");
    await shot("picture-answered");
    assert(!(await page.$$eval("button", (all) => all.some((one) => one.textContent === "Link"))), `${name}: no link holds a picture`);
  }

  // What a model writes is text.
  await page.evaluate(() => localStorage.setItem("conversation", JSON.stringify({ format: "maquette-chat", version: 1, shown: [], nodes: [
    { id: 1, parent: 0, role: "user", content: "<img src=x onerror=alert(1)> **not bold**", images: ["https://example.org/spy.png"] },
    { id: 2, parent: 1, role: "assistant", content: "# Title\nSome **bold**, *italic* and `code`.\n\n```python\ndef add(a, b):\n    return a + b  # <script>alert(1)</script>\n```\n\n| fruit | n |\n|---|---:|\n| apple | 3 |\n| <b>pear</b> | `4` |\n\n> quoted\n\n- one\n  - inner\n- two\n\n1. first\n2. second\n\n<img src=x onerror=\"window.hacked=1\"> [bad](javascript:alert(1)) [good](https://example.org/a) https://example.org/b.\n\n---\nA very long word: " + "x".repeat(300) }] })));
  await page.reload();
  await page.waitForSelector(".assistant table");
  const isSafe = () => !window.hacked && !document.querySelector(".log img, .log script, .log b") && [...document.querySelectorAll(".log a")].every((one) => one.href.startsWith("https://"));
  assert(await page.evaluate(isSafe), `${name}: markup is text, and links lead to the web`);
  assert(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${name}: nothing is wider than the page`);
  await shot("markdown");
  await axe(page, `${name}, markdown`);
  await page.click("#settings-open");
  await shot("settings");
  await axe(page, `${name}, settings`);
  assert(!page.errors.length, `${name}: no error in the console ${page.errors.join(" | ")}`);
  await context.close();
}

async function completion(name, size, scheme) {
  const context = await browser.createBrowserContext();
  const page = await open(size, scheme, context);
  const shot = (what) => page.screenshot({ path: `${out}/${name}-${what}.png` });
  const value = () => page.$eval("main textarea", (area) => area.value);
  const done = () => page.waitForFunction(() => document.querySelector("main textarea").getAttribute("aria-busy") === "false" && document.querySelector(".tokens"), PATIENCE);
  await shot("empty");
  await axe(page, `${name}, empty`);
  await page.type("main textarea", "Once upon a time");
  await click(page, "Continue");
  await page.waitForFunction(() => document.querySelector("main textarea").value.length > 25, PATIENCE);
  await shot("streaming");
  await done();
  const first = await value();
  assert(first.startsWith("Once upon a time") && first.length > 25, `${name}: the text goes on`);
  await (await page.$$(".token"))[3].hover();
  await page.waitForSelector("#tip:not([hidden])");
  await shot("probabilities");
  await axe(page, `${name}, probabilities`);
  await click(page, "Take back");
  assert((await value()) === "Once upon a time", `${name}: it is taken back`);
  await click(page, "Continue");
  await done();
  assert((await value()) === first, `${name}: the same seed gives the same text`);
  const elsewhere = await browser.createBrowserContext();
  const visitor = await elsewhere.newPage();
  await visitor.goto(await link(page));
  await visitor.waitForSelector(".tokens", PATIENCE);
  assert((await visitor.$eval("main textarea", (area) => area.value)) === first, `${name}: a link decodes the same text`);
  await elsewhere.close();
  await page.evaluate(() => localStorage.setItem("settings", JSON.stringify({ max_tokens: 400, seed: "4" })));
  await page.reload();
  await page.waitForSelector("main textarea");
  assert((await value()) === first, `${name}: a reload keeps the text`);
  await click(page, "Continue");
  await page.waitForFunction((n) => document.querySelector("main textarea").value.length > n, PATIENCE, first.length + 5);
  await page.keyboard.press("Escape");
  await page.waitForFunction(() => document.querySelector("main textarea").getAttribute("aria-busy") === "false", PATIENCE);
  assert((await value()).startsWith(first), `${name}: Escape stops it and leaves what came`);
  assert(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${name}: nothing is wider than the page`);
  assert(!page.errors.length, `${name}: no error in the console ${page.errors.join(" | ")}`);
  await context.close();
}

const card = (await (await fetch(`${url}/v1/models`)).json()).data[0];
for (const size of [[1280, 800], [390, 844]]) {
  for (const scheme of ["light", "dark"]) {
    const name = `${card.is_chat ? "chat" : "text"}-${size[0]}-${scheme}`;
    await (card.is_chat ? chat : completion)(name, size, scheme, card).catch((error) => assert(false, `${name}: ${error.stack}`));
  }
}
await browser.close();
console.log(nFailed ? `${nFailed} checks failed` : "all is as it should be");
process.exitCode = nFailed ? 1 : 0;
