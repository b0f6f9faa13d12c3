// Tables of long lists: headings that sort, buttons that turn the pages, and names that are found by a part of them.
import { $, element, whole } from "./elements.js";
import { request, state } from "./state.js";

export const PAGE = 64; // rows of a table, and agents up to which a menu has all names

// A row of headings; those with a key sort the list, first ascending, then descending, then not at all.
export function sortable(row, columns, reload) {
  let sort = "";
  const cells = columns.map(([heading, kind, , key]) => {
    const cell = element("th", { scope: "col", className: kind.split(" ")[0] === "text" ? "text" : "" });
    if (!key) cell.textContent = heading;
    else {
      const button = element("button", { type: "button", className: "sort", textContent: heading });
      button.addEventListener("click", () => {
        sort = { [key]: `-${key}`, [`-${key}`]: "" }[sort] ?? key;
        for (const [index, each] of cells.entries()) {
          const direction = sort && sort.replace("-", "") === columns[index][3] ? (sort.startsWith("-") ? "descending" : "ascending") : null;
          if (direction) each.setAttribute("aria-sort", direction);
          else each.removeAttribute("aria-sort");
        }
        reload();
      });
      cell.append(button);
    }
    return cell;
  });
  row.replaceChildren(...cells);
  return () => sort;
}

// The buttons below a table; they are hidden while one page holds all.
export function pager(place, what, reload) {
  let offset = 0;
  const words = element("span", { className: "note" });
  const [back, on] = [["Previous", -PAGE], ["Next", PAGE]].map(([text, step]) => {
    const button = element("button", { type: "button", className: "quiet", textContent: text, "aria-label": `${text} ${what}` });
    button.addEventListener("click", () => {
      offset = Math.max(0, offset + step);
      reload();
    });
    return button;
  });
  place.replaceChildren(back, words, on);
  return {
    parameters: () => `limit=${PAGE}&offset=${offset}`,
    first: () => (offset = 0),
    // Show where a page lies; return whether it lies beyond the end, as after agents have left.
    show({ items, total }) {
      const beyond = !items.length && offset > 0;
      if (beyond) offset = 0;
      place.hidden = total <= PAGE;
      back.disabled = offset === 0;
      on.disabled = offset + items.length >= total;
      words.textContent = `${whole(offset + 1)} to ${whole(offset + items.length)} of ${whole(total)} ${what}`;
      return beyond;
    },
  };
}

// A menu of all names, or of many agents a field that offers the names with what is written in them.
export function offerNames(menu, names, first, options) {
  if (menu.tagName === "SELECT" && state.total > PAGE) {
    const field = element("input", { id: menu.id, name: menu.name, autocomplete: "off", placeholder: first[0]?.textContent ?? "", value: menu.value });
    field.setAttribute("list", "names");
    menu.replaceWith(field);
  } else if (menu.tagName === "SELECT") options(menu, names, first);
}

document.addEventListener("input", async ({ target }) => {
  if (target.getAttribute?.("list") !== "names" || !/^[\w.-]{1,64}$/.test(target.value)) return;
  const { items } = await request(`api/agents?limit=20&name_contains=${encodeURIComponent(target.value)}`).catch(() => ({ items: [] }));
  $("names").replaceChildren(...items.map(({ name }) => element("option", { value: name })));
});
