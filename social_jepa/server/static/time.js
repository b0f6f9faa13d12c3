// The time at which the graph is shown: now, or an earlier one that the slider chooses.
import { $, clock, dateAndTime, element, put } from "./elements.js";
import { request, state } from "./state.js";

const POSITIONS = 500; // of the slider, from the first event of the run to now
let first = null; // seconds since the epoch
let last = 0;
let redraw = async () => {};
let waiting = 0;

// The query parameter of routes that read the graph at a time; first is "?" or "&".
export const asOf = (sign = "?") => (state.asOf === null ? "" : `${sign}as_of=${state.asOf}`);
export const onTime = (draw) => (redraw = draw);

const words = (seconds) => (seconds === null ? "now" : dateAndTime(seconds));

function show() {
  put($("time-shown"), words(state.asOf));
  $("time-now").hidden = state.asOf === null;
  $("time").setAttribute("aria-valuetext", words(state.asOf));
  if (document.activeElement !== $("time")) $("time").value = state.asOf === null ? POSITIONS : (POSITIONS * (state.asOf - first)) / (last - first || 1);
}

// Keep the ends of the slider: the first and the newest event.
export async function keepTimes() {
  if (first === null) {
    const { items } = await request("api/events?limit=1");
    if (!items.length) return;
    first = items[0].time;
  }
  if (state.status.up) last = Date.now() / 1000;
  else if (last === 0) {
    const { items } = await request(`api/events?limit=1&after=${Math.max(0, state.status.events - 1)}`);
    last = items.at(-1)?.time ?? first;
  }
  $("time").max = POSITIONS;
  $("time").disabled = last <= first;
  show();
}

export async function goTo(seconds) {
  state.asOf = seconds; // unrounded: a run is created and joined within a millisecond
  show();
  clearTimeout(waiting);
  try {
    await redraw();
    put($("time-note"), "");
  } catch (error) {
    put($("time-note"), error.message);
  }
}

$("time").addEventListener("input", () => {
  const share = Number($("time").value) / POSITIONS;
  const wanted = share === 1 ? null : first + share * (last - first);
  put($("time-shown"), words(wanted));
  $("time").setAttribute("aria-valuetext", words(wanted));
  clearTimeout(waiting);
  waiting = setTimeout(() => goTo(wanted), 200);
});
$("time-now").addEventListener("click", () => {
  $("time").focus();
  $("time").value = POSITIONS;
  goTo(null);
});

// The versions of an edge, newest first; each is a button that shows its time.
const MOST_VERSIONS = 20;
export async function versionsOf(edge, path, number) {
  const { total } = await request(`${path}/history?limit=1`);
  const { items } = await request(`${path}/history?limit=${MOST_VERSIONS}&offset=${Math.max(0, total - MOST_VERSIONS)}`);
  const rows = items.map((each, index) => {
    const shown = each.time === edge.time && each.round === edge.round;
    const button = element("button", { type: "button", className: "quiet", textContent: clock(each.time), "aria-pressed": String(shown), "aria-label": `show the graph of ${words(each.time)}` });
    button.addEventListener("click", () => goTo(each.time));
    return element("li", {}, button, element("span", { textContent: `${total - items.length + index + 1}. ${each.status}, R² ${number(each.r2_shared, 2)}` }));
  });
  const heading = element("h4", { textContent: total === 1 ? "1 version" : `${total} versions` });
  return element("div", { className: "versions" }, heading, element("ol", {}, ...rows.reverse()));
}
