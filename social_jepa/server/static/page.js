// The page of social-jepa serve: it asks for the state of the run, and follows its events.
import { agentsAddress, failureText, onAgents, showAgents } from "./agents.js";
import { showEdges } from "./edges.js";
import { $, clock, element, number, put, whole } from "./elements.js";
import { onChange, showMessage } from "./forms.js";
import { showGraph } from "./graph.js";
import { showRuns } from "./runs.js";
import { showSource } from "./source.js";
import { request, state } from "./state.js";
import { keepTimes } from "./time.js";
import { step } from "./views.js";

const MOST_EVENTS = 200;
const NOT_UP = "The simulation is not up";
const PILLS = { up: "good", training: "good", finished: "" }; // by state of the run; all others are bad

function showStatus() {
  const { status } = state;
  put($("headline"), status.headline);
  document.title = `Social-JEPA: ${status.name}`;
  $("run").textContent = `· ${status.name}`;
  $("up").textContent = status.state;
  $("up").className = `pill ${PILLS[status.state] ?? "bad"}`;
  $("remedy").replaceChildren(...withCode(status.remedy, status.command));
  $("trouble").textContent = status.trouble;
  $("trouble").hidden = !status.trouble;
  $("tile-agents").textContent = whole(state.total);
  $("tile-phases").textContent = Object.entries(status.agents).map(([phase, count]) => `${count} ${phase}`).join(", ");
  const { high = 0, middle = 0, low = 0, unmapped = 0, pairs = 0, mean, worst, shared_dim, null_highest } = status.summary ?? {};
  $("tile-high").textContent = `${whole(high)} of ${whole(pairs)}`;
  $("tile-ranges").textContent = `${whole(middle)} from 0.5 to 0.9, ${whole(low)} below 0.5, ${whole(unmapped)} without a map`;
  $("tile-core").textContent = number(mean, 2);
  $("tile-worst").textContent = worst ? `worst ${number(worst.r2_shared, 2)}, ${worst.source} → ${worst.target}` : "no accepted map";
  $("tile-shared").textContent = number(shared_dim, 1);
  $("tile-null").textContent = worst ? `chance correlates up to ${number(null_highest, 2)}` : "";
  $("add").querySelector("button").disabled = !status.up;
  if (!status.up) showMessage($("add"), `${NOT_UP}: ${status.remedy}`);
  else if ($("add").querySelector(".message").textContent.startsWith(NOT_UP)) showMessage($("add"), "");
}

// A sentence, in which a command is marked as code; an empty command marks nothing.
function withCode(sentence, command) {
  if (!command) return [sentence];
  const [before, ...after] = sentence.split(command);
  return [before, element("code", { textContent: command }), after.join(command)];
}

// One refresh at a time: all that are wanted meanwhile are one that follows.
let running = null;
let next = null;
function refresh() {
  if (!running) return (running = readAll().finally(() => (running = null)));
  return (next ??= running.then(() => {
    next = null;
    return refresh();
  }));
}

async function readAll() {
  try {
    const [status, agents] = await Promise.all([request("api/status"), request(agentsAddress())]);
    const before = state.status;
    if (before && before.run !== status.run) location.reload(); // the server now serves another run
    const total = Object.values(status.agents).reduce((sum, count) => sum + count, 0);
    Object.assign(state, { status, total, agents: agents.items });
    keepNames();
    if (!before) {
      state.tick = status.next_tick % (status.ticks ?? Infinity);
      showSource(status);
      listen(String(Math.max(0, status.events - 50)));
    }
    showStatus();
    showAgents(agents);
    await Promise.all([showNewGraph(), keepTimes(), showRuns()]);
  } catch (error) {
    $("trouble").textContent = error.message;
    $("trouble").hidden = false;
  }
}

// The names that menus offer: all, or those of the newest page of many; a search hides no name there.
function keepNames() {
  if (state.names.length && $("agent-name").value) return;
  const joined = state.agents.filter((agent) => agent.joined).map((agent) => agent.name);
  state.names = joined.sort((one, other) => one.localeCompare(other, "en", { numeric: true }));
}

async function showNewGraph() {
  if (state.asOf !== null) return; // an earlier graph does not change
  const version = String([state.status.version, state.status.up]);
  if (version === state.drawn) return;
  await Promise.all([showGraph(), showEdges()]);
  state.drawn = version; // after a failure it is tried again
}

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
    if (event.number <= state.status.events) return; // the page has read what it changed
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
  paused: (e) => `training of ${e.agent} is paused`, continued: (e) => `training of ${e.agent} goes on`,
  finished: () => "the run finished",
  returned: (e) => `${e.agent} restarted as incarnation ${e.incarnation}${e.reason ? `: ${e.reason}` : ""}`,
  published: (e) => `${e.agent} published ${e.republished ? "another" : "its first"} model, ${e.checkpoint.slice(0, 8)}`,
  edge: (e) => `${e.source} → ${e.target} ${e.status}${e.r2_shared === null ? "" : `, R² ${number(e.r2_shared, 2)}`}${e.reason ? `: ${e.reason}` : ""}`,
  failed: (e) => `${e.agent} failed: ${failureText(e.failure)}`,
  equivocation: (e) => `${e.agent} embedded tick ${e.tick} in two ways, for ${e.peers.join(" and ")}: ${e.file} proves it`,
  message_refused: (e) => `${e.agent} refused a message: ${e.reason}`,
};

function showEvent(event) {
  const text = SENTENCES[event.type]?.(event) ?? Object.entries(event).filter(([key]) => !["number", "time", "type"].includes(key)).map(([key, value]) => `${key} ${typeof value === "object" ? JSON.stringify(value) : value}`).join(", ");
  const time = element("time", { textContent: clock(event.time), dateTime: new Date(event.time * 1000).toISOString() });
  $("events").prepend(element("li", {}, time, element("i", { textContent: event.type }), element("span", { textContent: text })));
  while ($("events").children.length > MOST_EVENTS) $("events").lastElementChild.remove();
}

onChange(refresh);
onAgents(refresh);
refresh();
setInterval(() => document.hidden || refresh(), 2000);
setInterval(step, 1000);
