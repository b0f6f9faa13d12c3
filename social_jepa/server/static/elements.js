// Elements of the page and the texts in them: everything that is written is text, never HTML.

export const $ = (id) => document.getElementById(id);

export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

export function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// Rows are kept and only their texts change, so that keyboard focus stays.
export function rowsOf(parent, agents, make, fill) {
  const kept = new Map([...parent.children].map((child) => [child.dataset.name, child]));
  const rows = agents.map((agent) => {
    const row = kept.get(agent.name) ?? make(agent);
    row.dataset.name = agent.name;
    fill(row, agent);
    return row;
  });
  if (rows.length !== parent.children.length || rows.some((row, index) => parent.children[index] !== row)) parent.replaceChildren(...rows);
}

export function options(select, names, first = []) {
  const wanted = [...first.map((each) => each.value), ...names].join("\n");
  if ([...select.options].map((each) => each.value).join("\n") === wanted) return;
  const kept = select.value;
  select.replaceChildren(...first, ...names.map((name) => element("option", { value: name, textContent: name })));
  if ([...select.options].some((each) => each.value === kept)) select.value = kept;
}

export const number = (value, digits = 3) => (value === null || value === undefined ? "–" : value.toFixed(digits).replace("-", "−"));
export const whole = (value) => (value === null || value === undefined ? "–" : Math.round(value).toLocaleString("en"));
const dateOf = (seconds) => new Date(seconds * 1000).toLocaleDateString("en-CA");
export const dateAndTime = (seconds) => `${dateOf(seconds)} ${new Date(seconds * 1000).toLocaleTimeString("en-GB")}`;
// The local time, with its date where that is not today's.
export const clock = (seconds) => dateAndTime(seconds).replace(`${dateOf(Date.now() / 1000)} `, "");
export const place = (...parts) => parts.map(encodeURIComponent).join("/");

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const minutes = Math.round(seconds / 60);
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (minutes < 90) return `${minutes} min`;
  return minutes < 36 * 60 ? `${number(seconds / 3600, 1)} h` : `${number(seconds / 86400, 1)} d`;
}
