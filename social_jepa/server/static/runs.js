// The choice of another run of this server, where it has several.
import { $, element } from "./elements.js";
import { request, state } from "./state.js";

const SECONDS = 15; // between two looks at what runs there are
let read = 0; // when they were read, in milliseconds

export async function showRuns() {
  const select = $("runs");
  if (Date.now() - read < 1000 * SECONDS || document.activeElement === select) return;
  read = Date.now();
  const { items } = await request("api/runs?limit=1000");
  const choices = items.map(({ address, name, state: kind }) => element("option", { value: address, textContent: `${name} (${kind})` }));
  const same = choices.length === select.options.length && choices.every((each, index) => each.isEqualNode(select.options[index]));
  if (!same) select.replaceChildren(...choices);
  select.value = items.find(({ path }) => path === state.status.run)?.address ?? "";
  $("run").hidden = items.length > 1;
  $("choose-run").hidden = items.length < 2;
}

$("runs").addEventListener("change", () => (location.href = $("runs").value));
window.addEventListener("pageshow", () => (read = 0)); // a page that comes back still has the choice that left it
