// The forms: an agent is added, moved or removed, and the graph is queried.
import { $, element, number, place } from "./elements.js";
import { request, state } from "./state.js";
import { makePlan } from "./plan.js";
import { viewUrl } from "./views.js";

let changed = async () => {};
export const onChange = (refresh) => (changed = refresh);

export function showMessage(form, text, bad = false) {
  const line = form.querySelector(".message");
  line.textContent = text;
  line.classList.toggle("bad", bad);
}

const [showAddPlan, showMovePlan] = ["add", "move"].map((id) => makePlan($(id).querySelector("svg.plan"), $(id).querySelector("[name=pose]")));
export const showPlan = showAddPlan;

$("add").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.currentTarget;
  const body = Object.fromEntries([...new FormData(form)].map(([key, value]) => [key, value.trim()]).filter(([, value]) => value));
  const button = form.querySelector("button");
  button.disabled = true;
  showMessage(form, "Starting …");
  try {
    const agent = await request("api/agents", "POST", body);
    showMessage(form, agent.waiting_for ? `${agent.name} is waiting for ${agent.waiting_for}.` : `${agent.name} joined and is training on its view.`);
    form.elements.pose.value = form.elements.name.value = "";
  } catch (error) {
    showMessage(form, error.message, true);
  }
  button.disabled = false;
  await changed();
});

// Open a dialog and perform an action each time "go" is pressed, until it succeeds.
function open(id, heading, act) {
  const dialog = $(id);
  const form = dialog.querySelector("form");
  $(`${id}-heading`).textContent = heading;
  showMessage(form, "");
  form.onsubmit = async (event) => {
    if (event.submitter?.value !== "go") return;
    event.preventDefault();
    try {
      await act(form);
      dialog.close();
      await changed();
    } catch (error) {
      showMessage(form, error.message, true);
    }
  };
  dialog.showModal();
  return form;
}

export function move(name) {
  const form = open("move", `Move ${name}`, (given) => request(`api/agents/${place(name)}`, "PATCH", { pose: given.elements.pose.value.trim() }));
  const pose = state.agents.find((agent) => agent.name === name)?.pose ?? "";
  form.elements.pose.value = pose.includes("=") ? pose : pose.split(",").map((part) => String(Math.round(Number(part) * 1000) / 1000)).join(",");
  form.elements.pose.select();
  showMovePlan();
}

// Let an agent's training wait, or go on.
export async function pause(name) {
  const paused = !state.agents.find((agent) => agent.name === name)?.paused;
  try {
    await request(`api/agents/${place(name)}`, "PATCH", { paused });
    showMessage($("agents-actions"), "");
  } catch (error) {
    showMessage($("agents-actions"), error.message, true);
  }
  await changed();
}

export function remove(name) {
  open("remove", `Remove ${name}?`, () => {
    state.leaving = name; // no more view requests for it
    return request(`api/agents/${place(name)}`, "DELETE").catch((error) => {
      state.leaving = null;
      throw error;
    });
  });
}

$("query").elements.what.addEventListener("change", (event) => {
  for (const label of $("query").querySelectorAll("[data-of]")) label.hidden = label.dataset.of !== event.target.value;
});
// The numbers of a text, separated by commas. Number("") is 0: what is missing is refused here.
function numbersOf(text, remedy) {
  const found = text.split(",").map((part) => (part.trim() === "" ? NaN : Number(part)));
  if (!found.every(Number.isFinite)) throw new Error(remedy);
  return found;
}

function queryBody({ from, to, via, what, tick, vector }) {
  const body = { from: from.value, to: to.value, nearest: 5 };
  if (via.value) body.via = via.value;
  if (what.value === "tick") body.ticks = numbersOf(tick.value, "Tick: give a whole number, 0 or larger");
  else body.vectors = [numbersOf(vector.value, "Vector: give numbers separated by commas, one for each dimension of the core")];
  return body;
}

$("query").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.currentTarget;
  $("answer").replaceChildren();
  showMessage(form, "Translating …");
  try {
    const body = queryBody(form.elements);
    showAnswer(await request("api/translate", "POST", body), body);
    showMessage(form, "");
  } catch (error) {
    showMessage(form, error.message, true);
  }
});

function showAnswer(answer, query) {
  const vector = (values) => values.map((value) => number(value)).join(", ");
  const rows = [
    ["path", answer.path.join(" → ")], ["R² expected", number(answer.expected_r2)], ["R² held out", number(answer.measured_r2)],
    ["translated", vector(answer.translated[0])],
  ].flatMap(([term, value]) => [element("dt", { textContent: term }), element("dd", { className: "numbers", textContent: value })]);
  const viewFigure = (name, tick, note) =>
    element("figure", {}, element("img", { className: "pixels", src: viewUrl(name, tick), alt: `view of ${name} at tick ${tick}`, width: 96, height: 96 }), element("figcaption", {}, `tick ${tick}`, element("span", { textContent: note })));
  const near = answer.nearest[0].map((each) => viewFigure(answer.to, each.tick, `distance ${number(each.distance, 2)}`));
  const both = (tick) => [viewFigure(answer.from, tick, `input, of ${answer.from}`), viewFigure(answer.to, tick, `${answer.to} then`)];
  const own = query.ticks ? [element("h3", { textContent: `The tick as ${answer.from} and ${answer.to} see it` }), element("div", { className: "views" }, ...both(query.ticks[0]))] : [];
  $("answer").replaceChildren(element("dl", {}, ...rows), ...own, element("h3", { textContent: `Nearest held-out ticks of ${answer.to}` }), element("div", { className: "views" }, ...near));
}
