// The page of social-jepa serve. It sends requests to this server only, by relative addresses, so that a proxy may serve
// it below any path; everything that it writes is text, never HTML.
"use strict";

const $ = (id) => document.getElementById(id);
const state = { status: null, agents: [], tick: 0, playing: true, edge: null, source: null, leaving: null };
const CLASSES = [0.2, 0.4, 0.6, 0.8];
const MARKS = { refused: "✕ ", failed: "! ", stale: "↻ " };
const MOST_EVENTS = 200;

function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}
const number = (value, digits = 3) => (value === null || value === undefined ? "–" : value.toFixed(digits).replace("-", "−"));
const whole = (value) => (value === null || value === undefined ? "–" : Math.round(value).toLocaleString("en"));
const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString("en-GB");
const place = (...parts) => parts.map(encodeURIComponent).join("/");
const shade = (value) => `q${CLASSES.filter((border) => (value ?? 0) >= border).length}`;

async function request(path, method = "GET", body = undefined) {
  const options = { method, headers: {} };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The server does not respond: is social-jepa serve still running?");
  }
  if (response.ok) return response.status === 204 ? null : (response.headers.get("Content-Type") ?? "").includes("json") ? response.json() : response.text();
  const problem = await response.json().catch(() => null);
  throw new Error(problem ? `${problem.title}: ${problem.detail}` : `The server replied ${response.status}.`);
}

function showMessage(form, text, bad = false) {
  const line = form.querySelector(".message");
  line.textContent = text;
  line.classList.toggle("bad", bad);
}

// --- status ---

function showStatus() {
  const { status, agents } = state;
  put($("headline"), status.headline);
  document.title = `Social-JEPA: ${status.name}`;
  $("run").textContent = `· ${status.name}`;
  $("up").textContent = status.up ? "up" : "down";
  $("up").className = `pill ${status.up ? "good" : "bad"}`;
  $("remedy").replaceChildren(...(status.up ? [] : ["restart it: ", element("code", { textContent: status.remedy })]));
  $("trouble").textContent = status.trouble;
  $("trouble").hidden = !status.trouble;
  $("tile-agents").textContent = agents.length;
  $("tile-phases").textContent = Object.entries(status.agents).map(([phase, count]) => `${count} ${phase}`).join(", ");
  const { high, middle, low, unmapped, pairs, mean, worst } = status.summary ?? { high: 0, middle: 0, low: 0, unmapped: 0, pairs: 0, mean: null, worst: null };
  $("tile-high").textContent = `${high} of ${pairs}`;
  $("tile-ranges").textContent = `${middle} from 0.5 to 0.9, ${low} below 0.5, ${unmapped} without a map`;
  $("tile-core").textContent = number(mean, 2);
  $("tile-worst").textContent = worst ? `worst ${number(worst.r2_shared, 2)}, ${worst.source} → ${worst.target}` : "no accepted map";
  $("add").querySelector("button").disabled = !status.up;
  if (!status.up) showMessage($("add"), `The simulation is down. Restart it: ${status.remedy}`);
  else if ($("add").querySelector(".message").textContent.startsWith("The simulation is down")) showMessage($("add"), "");
}

function options(select, names, first = []) {
  const wanted = [...first.map((each) => each.value), ...names].join("\n");
  if ([...select.options].map((each) => each.value).join("\n") === wanted) return;
  const kept = select.value;
  select.replaceChildren(...first, ...names.map((name) => element("option", { value: name, textContent: name })));
  if ([...select.options].some((each) => each.value === kept)) select.value = kept;
}

function failureText({ cause, type, message, file, line, phase, step, traceback_file }) {
  const place = file ? `, ${file} line ${line}` : "";
  const found = traceback_file ? `; traceback: ${traceback_file}` : "";
  return `${(cause === "process_died" ? [message] : [type, message]).filter(Boolean).join(": ")}${place} (${phase}, after ${step} steps)${found}`;
}

function note(agent) {
  if (agent.failure) return failureText(agent.failure);
  if (agent.silent_since) return `gave no report since ${new Date(1000 * agent.silent_since).toLocaleTimeString()}`;
  if (agent.unsaved.length) return agent.unsaved.map(({ path, reason }) => `cannot write ${path} (${reason}), and tries again`).join("; ");
  if (agent.waiting_for) return `waiting for ${agent.waiting_for}`;
  if (agent.idle_seconds) return `no step for ${Math.round(agent.idle_seconds)} s${agent.idle_place ? `, in ${agent.idle_place}` : ""}`;
  const silent = Object.keys(agent.unanswered ?? {});
  if (silent.length) return `no answer from ${silent.join(", ")}`;
  if (agent.cpu_wait > 0.5) return `waits for a CPU ${Math.round(100 * agent.cpu_wait)} % of the time`;
  return agent.teacher ? `teacher: ${agent.teacher}` : "";
}

// Rows are kept and only their texts change, so that keyboard focus stays.
function rowsOf(parent, agents, make, fill) {
  const kept = new Map([...parent.children].map((child) => [child.dataset.name, child]));
  const rows = agents.map((agent) => {
    const row = kept.get(agent.name) ?? make(agent);
    row.dataset.name = agent.name;
    fill(row, agent);
    return row;
  });
  if (rows.length !== parent.children.length || rows.some((row, index) => parent.children[index] !== row)) parent.replaceChildren(...rows);
}

function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function showAgents() {
  const names = state.agents.map((agent) => agent.name);
  rowsOf($("agents"), state.agents, agentRow, (row, agent) => {
    const texts = [agent.phase, whole(agent.step), number(agent.loss), number(agent.drift), whole(agent.frames_per_s), String(agent.incarnation)];
    texts.push(agent.core_dim === null ? "–" : agent.collapsed ? "collapsed" : `${agent.core_dim} of ${agent.dim}`, note(agent));
    texts.forEach((text, index) => put(row.children[index + 1], text));
    row.children[1].className = `text ${agent.phase === "failed" ? "failed" : ""}`;
    for (const button of row.querySelectorAll("button")) button.disabled = !state.status.up;
  });
  rowsOf($("cameras"), state.agents.filter((agent) => agent.joined), camera, (figure, agent) => {
    put(figure.querySelector("span"), agent.phase);
    figure.querySelector("img").alt = `view of ${agent.name}`;
  });
  rowsOf($("losses"), state.agents.filter((agent) => agent.joined), lossFigure, (figure, agent) => {
    figure.dataset.of = `${agent.phase} ${agent.step} ${agent.checkpoint} ${agent.phase === "distilling" ? Date.now() : ""}`;
  });
  drawLosses();
  const published = state.agents.filter((agent) => agent.published_at);
  options($("add").elements.teacher, published.map((agent) => agent.name), [element("option", { value: "", textContent: "none: it trains alone" })]);
  const fields = $("query").elements;
  const fresh = fields.to.options.length === 0;
  options(fields.from, names);
  options(fields.to, names);
  if (fresh && names.length > 1) fields.to.value = names[1];
}

function agentRow(agent) {
  const row = element("tr", {}, element("th", { scope: "row", textContent: agent.name }));
  for (const kind of ["text", "figure", "figure", "figure", "figure", "figure", "figure", "text remark"]) row.append(element("td", { className: kind }));
  const buttons = [["Move", move], ["Remove", remove]].map(([word, act]) => {
    const button = element("button", { type: "button", textContent: word, "aria-label": `${word} ${agent.name}` });
    button.addEventListener("click", () => act(agent.name));
    return button;
  });
  row.append(element("td", { className: "text" }, buttons[0], " ", buttons[1]));
  return row;
}

const camera = (agent) =>
  element("figure", {}, element("img", { className: "pixels", width: 96, height: 96 }), element("figcaption", {}, element("b", { textContent: agent.name }), element("span")));

function lossFigure(agent) {
  const image = element("img", { alt: `Loss of ${agent.name} by step` });
  for (const type of ["load", "error"]) image.addEventListener(type, drawLosses);
  return element("figure", {}, image, element("figcaption", { textContent: agent.name }));
}

// One plot is drawn at a time, so that camera views, which the same thread of the server renders, come in between.
function drawLosses() {
  const figures = [...$("losses").children];
  const loading = (image) => image.getAttribute("src") && !image.complete;
  if (figures.some((figure) => loading(figure.querySelector("img")))) return;
  const age = (figure) => Date.now() - Number(figure.dataset.at ?? 0);
  const due = figures.filter(({ dataset }) => dataset.of !== dataset.drawn && dataset.name !== state.leaving);
  const [oldest] = due.sort((one, other) => age(other) - age(one));
  if (!oldest || age(oldest) < 1000 * Math.max(5, figures.length)) return;
  oldest.dataset.drawn = oldest.dataset.of;
  oldest.dataset.at = Date.now();
  oldest.querySelector("img").src = `api/agents/${place(oldest.dataset.name)}/loss.svg?version=${oldest.dataset.at}`;
}

async function refresh() {
  try {
    const [status, agents] = await Promise.all([request("api/status"), request("api/agents?limit=1000")]);
    const before = state.status;
    if (before && before.run !== status.run) location.reload(); // the server now serves another run
    Object.assign(state, { status, agents: agents.items });
    if (!before) {
      state.tick = status.next_tick;
      listen(String(Math.max(0, status.events - 50)));
    }
    showStatus();
    showAgents();
    const same = before && String(before.version) === String(status.version) && before.up === status.up;
    if (!same) await showGraph();
  } catch (error) {
    $("trouble").textContent = error.message;
    $("trouble").hidden = false;
  }
}

// --- the graph ---

async function showGraph() {
  if (!state.agents.some((agent) => agent.joined)) return;
  const [text, quality] = await Promise.all([request(`api/graph.svg?pictures=linked&styled=false&tick=${state.tick}`), request("api/quality")]);
  const drawing = document.importNode(new DOMParser().parseFromString(text, "image/svg+xml").documentElement, true);
  const focused = document.activeElement?.dataset?.from ? { ...document.activeElement.dataset } : null;
  for (const edge of drawing.querySelectorAll("g.edge")) prepare(edge);
  for (const card of drawing.querySelectorAll(".card")) card.querySelector("image")?.setAttribute("href", viewUrl(card.dataset.agent, state.tick));
  $("graph").replaceChildren(drawing);
  if (focused) find(focused.from, focused.to)?.focus({ preventScroll: true });
  showMatrix(quality);
  const accepted = await request("api/edges?status=accepted&limit=1000");
  const mean = (key) => accepted.items.reduce((sum, edge) => sum + edge[key], 0) / accepted.items.length;
  $("tile-shared").textContent = accepted.items.length ? number(mean("shared_dim"), 1) : "–";
  $("tile-null").textContent = accepted.items.length ? `chance correlates up to ${number(mean("null_correlation"), 2)}` : "";
  if (state.edge && state.edge.every((name) => quality.agents.includes(name))) await select(...state.edge, false);
  else if (state.edge) {
    state.edge = null;
    $("edge-heading").textContent = "No edge selected";
    $("edge").replaceChildren(element("p", { className: "note", textContent: "One of its agents left. Select another arrow." }));
  }
}

const find = (from, to) => [...$("graph").querySelectorAll("g.edge")].find((edge) => edge.dataset.from === from && edge.dataset.to === to);

function prepare(edge) {
  const { from, to } = edge.dataset;
  const hit = edge.querySelector("path").cloneNode();
  hit.setAttribute("class", "hit");
  edge.append(hit);
  edge.setAttribute("tabindex", "0");
  edge.setAttribute("role", "button");
  edge.setAttribute("aria-label", edge.querySelector("title").textContent);
  edge.addEventListener("click", () => select(from, to));
  edge.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    select(from, to);
  });
}

function showMatrix({ agents, status, r2_shared: values }) {
  const head = element("tr", {}, element("td"), ...agents.map((name) => element("th", { scope: "col", textContent: name })));
  const rows = agents.map((from, row) => {
    const cells = agents.map((to, column) => {
      if (row === column) return element("td", { textContent: "" });
      const kind = status[row][column];
      if (!kind) return element("td", { className: "figure", textContent: "none yet" });
      const text = (MARKS[kind] ?? "") + number(values[row][column], 2);
      const button = element("button", { type: "button", textContent: text, "aria-label": `${from} to ${to}: ${kind}, R² ${number(values[row][column], 2)}` });
      Object.assign(button.dataset, { from, to });
      button.addEventListener("click", () => select(from, to));
      return element("td", { className: kind === "accepted" ? shade(values[row][column]) : kind }, button);
    });
    return element("tr", {}, element("th", { scope: "row", textContent: from }), ...cells);
  });
  const { activeElement } = document;
  const focused = $("matrix").contains(activeElement) ? { ...activeElement.dataset } : null;
  $("matrix").replaceChildren(element("thead", {}, head), element("tbody", {}, ...rows));
  const again = focused && [...$("matrix").querySelectorAll("button")].find((each) => each.dataset.from === focused.from && each.dataset.to === focused.to);
  if (again) again.focus({ preventScroll: true });
}

async function select(from, to, byUser = true) {
  state.edge = [from, to];
  for (const each of document.querySelectorAll("#graph g.edge")) each.classList.toggle("selected", each.dataset.from === from && each.dataset.to === to);
  for (const each of document.querySelectorAll("#matrix button")) each.setAttribute("aria-pressed", each.dataset.from === from && each.dataset.to === to);
  try {
    const edge = await request(`api/edges/${place(from, to)}`);
    showEdge(edge);
    if (byUser) $("edge-heading").focus({ preventScroll: window.innerWidth > 960 });
  } catch (error) {
    $("edge-heading").textContent = `${from} → ${to}`;
    $("edge").replaceChildren(element("p", { className: "note", textContent: error.message }));
  }
}

function showEdge(edge) {
  $("edge-heading").textContent = `${edge.source} → ${edge.target}`;
  const verdict = element("b", { className: edge.status, textContent: (MARKS[edge.status] ?? "✓ ") + edge.status });
  const rows = [
    ["verdict", verdict], ["shared directions", `${edge.shared_dim} of ${edge.core_dims[0]} and ${edge.core_dims[1]}`], ["R² shared", number(edge.r2_shared)],
    ["chance correlation", number(edge.null_correlation, 2)], ["R² all dimensions", number(edge.r2)], ["retrieval@1", number(edge.retrieval_at_1, 2)], ["pairs", `${edge.anchors} fitted, ${edge.heldout} held out`],
    ["bytes", whole(edge.bytes)], ["round", String(edge.round)], ["recorded", clock(edge.time)],
  ].flatMap(([term, value]) => [element("dt", { textContent: term }), element("dd", {}, value)]);
  const version = `${edge.source_checkpoint}-${edge.target_checkpoint}-${edge.round}`;
  const picture = element("img", { alt: `Held-out correlations of the directions: ${edge.correlations.map((value) => number(value, 2)).join(", ")}` });
  picture.src = `api/edges/${place(edge.source, edge.target)}/directions.svg#${version}`;
  const caption = element("p", { className: "note", textContent: "Held-out correlation of each pair of directions: filled: shared, hollow: private, dark line: chance; an isometry has all at 1." });
  $("edge").replaceChildren(
    ...(edge.reason ? [element("p", { textContent: edge.reason })] : []), element("dl", {}, ...rows),
    ...(edge.correlations.length ? [picture, caption] : []),
  );
}

// --- the cameras ---

const viewUrl = (name, tick) => `api/agents/${place(name)}/view.png?tick=${tick}`;

function step() {
  if (document.hidden) return;
  if (state.playing) state.tick += 1;
  if (document.activeElement !== $("tick")) $("tick").value = state.tick;
  for (const figure of $("cameras").children) {
    const image = figure.querySelector("img");
    if (figure.dataset.name === state.leaving || figure.dataset.tick === String(state.tick) || (image.getAttribute("src") && !image.complete)) continue;
    figure.dataset.tick = state.tick;
    image.src = viewUrl(figure.dataset.name, state.tick);
  }
  if (state.tick % 5 === 0 || !state.playing) {
    for (const card of $("graph").querySelectorAll(".card")) if (card.dataset.agent !== state.leaving) card.querySelector("image")?.setAttribute("href", viewUrl(card.dataset.agent, state.tick));
  }
}

$("play").addEventListener("click", () => {
  state.playing = !state.playing;
  $("play").textContent = state.playing ? "Pause" : "Play";
  $("play").setAttribute("aria-pressed", state.playing);
});
$("tick").addEventListener("change", () => {
  state.tick = Math.max(0, Math.min(2 ** 53, Math.floor(Number($("tick").value) || 0)));
  state.playing = false;
  $("play").textContent = "Play";
  $("play").setAttribute("aria-pressed", "false");
  step();
});

// --- events ---

let soon = 0;
function listen(after) {
  state.source?.close();
  let last = after; // id of the last event: it names the run, so that a server of another run says so
  const source = (state.source = new EventSource(`api/stream?after=${encodeURIComponent(after)}`));
  const line = (text, kind) => {
    $("line").textContent = text;
    $("line").className = `pill ${kind}`;
  };
  source.addEventListener("open", () => line("connected", "good"));
  source.addEventListener("message", (message) => {
    const event = JSON.parse(message.data);
    last = message.lastEventId;
    showEvent(event);
    clearTimeout(soon);
    soon = setTimeout(refresh, 250);
  });
  source.addEventListener("reset", () => location.reload());
  source.addEventListener("error", () => {
    line("reconnecting", "bad");
    if (source.readyState === EventSource.CLOSED) setTimeout(() => listen(last), 3000);
  });
}

const SENTENCES = {
  started: () => "the simulation started", resumed: () => "the simulation resumed", stopped: (e) => `the simulation stopped (${e.reason ?? "on request"})`,
  joined: (e) => `${e.agent} joined`, left: (e) => `${e.agent} left`, moved: (e) => `${e.agent} moved its camera`,
  returned: (e) => `${e.agent} restarted as incarnation ${e.incarnation}`,
  published: (e) => `${e.agent} published ${e.republished ? "another" : "its first"} model, ${e.checkpoint.slice(0, 8)}`,
  edge: (e) => `${e.source} → ${e.target} ${e.status}${e.r2_shared === null ? "" : `, R² ${number(e.r2_shared, 2)}`}${e.reason ? `: ${e.reason}` : ""}`,
  failed: (e) => `${e.agent} failed: ${failureText(e.failure)}`,
  message_refused: (e) => `${e.agent} refused a message: ${e.reason}`,
};

function showEvent(event) {
  const text = SENTENCES[event.type]?.(event) ?? Object.entries(event).filter(([key]) => !["number", "time", "type"].includes(key)).map(([key, value]) => `${key} ${typeof value === "object" ? JSON.stringify(value) : value}`).join(", ");
  const time = element("time", { textContent: clock(event.time), dateTime: new Date(event.time * 1000).toISOString() });
  $("events").prepend(element("li", {}, time, element("i", { textContent: event.type }), element("span", { textContent: text })));
  while ($("events").children.length > MOST_EVENTS) $("events").lastElementChild.remove();
}

// --- forms ---

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
  await refresh();
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
      await refresh();
    } catch (error) {
      showMessage(form, error.message, true);
    }
  };
  dialog.showModal();
  return form;
}

function move(name) {
  const form = open("move", `Move ${name}`, (given) => request(`api/agents/${place(name)}`, "PATCH", { pose: given.elements.pose.value.trim() }));
  const pose = state.agents.find((agent) => agent.name === name)?.pose ?? "";
  form.elements.pose.value = pose.split(",").map((part) => String(Math.round(Number(part) * 1000) / 1000)).join(",");
  form.elements.pose.select();
}

function remove(name) {
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
$("query").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.currentTarget;
  const { from, to, via, what, tick, vector } = form.elements;
  const body = { from: from.value, to: to.value, nearest: 5 };
  if (via.value) body.via = via.value;
  if (what.value === "tick") body.ticks = [Number(tick.value)];
  else body.vectors = [vector.value.split(",").map(Number)];
  $("answer").replaceChildren();
  showMessage(form, "Translating …");
  try {
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
  const own = query.ticks ? [element("h3", { textContent: `View of ${answer.from}` }), element("div", { className: "views" }, viewFigure(answer.from, query.ticks[0], "input"))] : [];
  $("answer").replaceChildren(element("dl", {}, ...rows), ...own, element("h3", { textContent: `Nearest held-out ticks of ${answer.to}` }), element("div", { className: "views" }, ...near));
}

refresh();
setInterval(() => document.hidden || refresh(), 2000);
setInterval(step, 1000);
