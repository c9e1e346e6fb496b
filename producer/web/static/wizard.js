// What the pages of a new campaign do by themselves: a preview while one writes, an upload with a bar, fields that show
// when they matter, buttons that work once. Without it the same forms do the same, with a button more here and there.

const $ = (id) => document.getElementById(id);
const PAUSE = 200; // milliseconds without a key before the server is asked
const form = $("wizard");

// --- the live part of a step ----------------------------------------------------------------------------------------

let timer = 0;
let asking = null;

/** Ask how the form as it stands would look, and put the answer in the place of the element with its id. */
async function refresh() {
  if (asking) asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  const fields = new FormData(form);
  try {
    const answer = await fetch(form.dataset.liveForm, {
      method: "POST", body: new URLSearchParams(fields), signal, credentials: "same-origin",
      headers: { "X-CSRF-Token": fields.get("csrf") },
    });
    if (!answer.ok || answer.redirected) return;
    place(await answer.text());
  } catch (error) {
    if (error.name !== "AbortError") say("The preview cannot be reached; it goes on with the next key.");
  }
}

function place(html) {
  const next = new DOMParser().parseFromString(html, "text/html").body.firstElementChild;
  const old = next && $(next.id);
  if (!old) return;
  const focused = old.contains(document.activeElement) ? document.activeElement : null;
  const wanted = focused && (focused.dataset.row ? `[data-row="${focused.dataset.row}"]` : `[value="${focused.value}"]`);
  old.replaceWith(next);
  enhance(next);
  if (wanted) (next.querySelector(`${wanted}:not(:disabled)`) || next.querySelector("button:not(:disabled)") || $("text")).focus();
  if (next.dataset.say) say(next.dataset.say);
}

/** Screen readers hear what changed, once it rests. */
let said = 0;
function say(text) {
  window.clearTimeout(said);
  said = window.setTimeout(() => {
    if ($("announcer").textContent !== text) $("announcer").textContent = text;
  }, 800);
}

function soon(delay = PAUSE) {
  window.clearTimeout(timer);
  timer = window.setTimeout(refresh, delay);
}

// --- writing --------------------------------------------------------------------------------------------------------

/** Put text where the cursor stands; the browser's own undo takes it back. */
function insert(field, text) {
  field.focus();
  if (!document.execCommand("insertText", false, text)) {
    field.setRangeText(text, field.selectionStart, field.selectionEnd, "end");
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }
}

/** What the server would put in the place of the characters that are named in the preview. */
function replaceCharacters(remove) {
  const field = $("text");
  let text = field.value;
  for (const one of document.querySelectorAll("#preview [data-char]")) {
    const next = one.dataset.to;
    if (next !== undefined && !remove) text = text.replaceAll(one.dataset.char, next);
    if (next === undefined && remove) text = text.replaceAll(one.dataset.char, "");
  }
  field.focus();
  field.select();
  insert(field, text);
  soon(0);
}

// --- fields that show when they matter --------------------------------------------------------------------------------

function showFields() {
  for (const part of document.querySelectorAll("[data-shown-if]")) {
    const [name, value] = part.dataset.shownIf.split("=");
    const chosen = form.querySelector(`[name="${name}"]:checked, [name="${name}"][type="hidden"]`);
    part.hidden = !(chosen && chosen.value === value);
  }
  for (const box of document.querySelectorAll("[data-opens]")) $(box.dataset.opens).hidden = !box.checked;
  for (const select of document.querySelectorAll("select[data-use]")) {
    const name = $(select.id.replace("use-", "name-"));
    name.closest(".field").classList.toggle("off", select.value !== "variable");
    name.disabled = select.value !== "variable";
    if (!name.disabled && !name.value) name.value = name.dataset.guess || "";
  }
}

// --- files ----------------------------------------------------------------------------------------------------------

function tooLarge(file) {
  const most = Number(file.dataset.most);
  const chosen = file.files[0];
  const text = chosen && chosen.size > most ? `This file is larger than ${Math.floor(most / 1048576)} MiB; pack it with gzip.` : "";
  file.setCustomValidity(text);
  return text !== "";
}

/** Send the form with a bar that shows how far it is. What the server answers becomes the page. */
function upload(event) {
  const chosen = $("file").files[0];
  if (!chosen || chosen.size < 1048576) return;
  event.preventDefault();
  const request = new XMLHttpRequest();
  const bar = $("upload");
  bar.hidden = false;
  request.upload.addEventListener("progress", (progress) => {
    if (progress.lengthComputable) bar.value = progress.loaded / progress.total;
    if (progress.loaded === progress.total) bar.removeAttribute("value");
  });
  request.addEventListener("load", () => {
    if (request.status < 400 && request.responseURL) window.location.assign(request.responseURL);
    else showAnswer(request.responseText);
  });
  request.addEventListener("error", () => {
    bar.hidden = true;
    idle();
    $("file").setCustomValidity("The connection broke off; try again.");
    $("file").reportValidity();
  });
  const fields = new FormData(form);
  fields.set("go", event.submitter ? event.submitter.value : "next");
  request.open("POST", form.action);
  request.setRequestHeader("Accept", "text/html");
  request.send(fields);
}

function showAnswer(html) {
  const main = new DOMParser().parseFromString(html, "text/html").querySelector("main");
  if (!main) return window.location.reload();
  document.querySelector("main").replaceWith(main);
  window.location.hash = "";
  start();
}

// --- once -----------------------------------------------------------------------------------------------------------

let busy = null;

/** A second click on a form that is on its way does nothing. */
function once(event) {
  if (event.defaultPrevented && !busy) return;
  if (busy) {
    event.preventDefault();
    return;
  }
  const button = event.submitter;
  busy = { button, text: button ? button.textContent : "" };
  if (button && button.dataset.busy) {
    button.textContent = button.dataset.busy;
    button.setAttribute("aria-busy", "true");
    $("announcer").textContent = button.dataset.busy;
  }
}

function idle() {
  if (busy && busy.button && busy.button.dataset.busy) {
    busy.button.textContent = busy.text;
    busy.button.removeAttribute("aria-busy");
  }
  busy = null;
}
window.addEventListener("pageshow", idle); // back from the next page

// --- all together ---------------------------------------------------------------------------------------------------

function enhance(root) {
  for (const button of root.querySelectorAll("[data-insert]")) {
    button.hidden = false;
    button.addEventListener("click", () => insert($("text"), button.dataset.insert));
  }
  for (const button of root.querySelectorAll("[data-replace]")) {
    button.addEventListener("click", (event) => {
      event.preventDefault();
      replaceCharacters(button.value === "remove");
    });
  }
  for (const button of root.querySelectorAll("[data-row]")) {
    button.addEventListener("click", (event) => {
      event.preventDefault();
      $("row").value = Math.max(0, Number($("row").value) + Number(button.dataset.row));
      refresh();
    });
  }
}

function openFaulty() {
  for (const field of document.querySelectorAll("[aria-invalid]")) {
    const details = field.closest("details");
    if (details) details.open = true;
  }
  const summary = document.querySelector("[data-focus]");
  if (summary) summary.focus();
}

function start() {
  const own = $("wizard");
  enhance(document);
  openFaulty();
  if (!own) return;
  showFields();
  own.addEventListener("change", showFields);
  if (own.dataset.liveForm) {
    own.addEventListener("input", () => soon());
    own.addEventListener("change", () => soon(0));
  }
  if ($("file")) $("file").addEventListener("change", () => tooLarge($("file")));
  const zone = $("zone");
  if (zone && !$("at").value && zone.value === "UTC") {
    zone.value = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  }
}

document.addEventListener("submit", (event) => {
  if (event.target.matches("[data-upload]") && !busy) {
    const before = event.defaultPrevented;
    upload(event);
    if (event.defaultPrevented && !before) {
      const { submitter } = event;
      busy = { button: submitter, text: submitter ? submitter.textContent : "" };
      if (submitter && submitter.dataset.busy) submitter.textContent = submitter.dataset.busy;
      return;
    }
  }
  if (event.target.matches("#wizard, [data-once]")) once(event);
});
start();
