const show = (value, digits) => {
  if (value === null || value === undefined) return "–";
  if (value === true) return "✓ yes";
  if (value === false) return "✕ no";
  if (typeof value === "number") return Number.isInteger(value) && digits === undefined ? String(value) : value.toFixed(digits ?? 3);
  return String(value);
};

export default {
  render({ model, el }) {
    const box = document.createElement("div");
    box.className = "cl-table-box";
    const table = document.createElement("table");
    table.className = "cl-table";
    table.setAttribute("role", "grid");
    table.tabIndex = 0;
    table.setAttribute("aria-label", "Crystals. Arrow keys select a row.");
    const head = document.createElement("thead");
    const body = document.createElement("tbody");
    table.append(head, body);
    box.append(table);
    el.append(box);
    const lines = new Map();

    const choose = (index) => {
      model.set("selected", index);
      model.save_changes();
    };

    const paintHead = () => {
      const line = document.createElement("tr");
      for (const column of model.get("columns")) {
        const cell = document.createElement("th");
        const b = document.createElement("button");
        b.type = "button";
        const active = model.get("sort_by") === column.key;
        const down = model.get("descending");
        b.textContent = column.label + (active ? (down ? " ▾" : " ▴") : "");
        if (column.unit) {
          const unit = document.createElement("small");
          unit.textContent = ` ${column.unit}`;
          b.append(unit);
        }
        b.title = `${column.tip || column.label} – sort`;
        cell.setAttribute("aria-sort", active ? (down ? "descending" : "ascending") : "none");
        b.addEventListener("click", () => {
          if (!active) { model.set("sort_by", column.key); model.set("descending", false); }
          else if (!down) model.set("descending", true);
          else { model.set("sort_by", ""); model.set("descending", false); }
          model.save_changes();
        });
        cell.append(b);
        line.append(cell);
      }
      head.replaceChildren(line);
    };

    const paintSelection = (scroll) => {
      const selected = model.get("selected");
      for (const [index, line] of lines) line.setAttribute("aria-selected", String(index === selected));
      const line = lines.get(selected);
      if (scroll && line) {
        // Only the table's own box is scrolled: scrollIntoView would move the notebook.
        const top = line.offsetTop - head.offsetHeight;
        if (top < box.scrollTop) box.scrollTop = top;
        else if (line.offsetTop + line.offsetHeight > box.scrollTop + box.clientHeight) {
          box.scrollTop = line.offsetTop + line.offsetHeight - box.clientHeight;
        }
      }
    };

    const paintBody = () => {
      const columns = model.get("columns");
      const rows = model.get("rows");
      lines.clear();
      const made = document.createDocumentFragment();
      for (const index of model.get("order")) {
        const cells = rows[index];
        if (!cells) continue;
        const line = document.createElement("tr");
        line.dataset.index = String(index);
        cells.forEach((value, k) => {
          const cell = document.createElement("td");
          cell.textContent = show(value, columns[k]?.digits);
          if (typeof value === "number") cell.className = "cl-num";
          line.append(cell);
        });
        line.addEventListener("click", () => choose(index));
        lines.set(index, line);
        made.append(line);
      }
      if (!lines.size) {
        const line = document.createElement("tr");
        const cell = document.createElement("td");
        cell.colSpan = Math.max(columns.length, 1);
        cell.textContent = rows.length ? "No crystal passes the filter." : "No crystals yet.";
        cell.className = "cl-none";
        line.append(cell);
        made.append(line);
      }
      body.replaceChildren(made);
      paintSelection(false);
    };

    table.addEventListener("keydown", (event) => {
      const order = model.get("order");
      if (!order.length || event.target !== table) return;
      const now = order.indexOf(model.get("selected"));
      const last = order.length - 1;
      const next = {
        ArrowDown: Math.min(now + 1, last), ArrowUp: Math.max(now - 1, 0), Home: 0, End: last,
        PageDown: Math.min(now + 10, last), PageUp: Math.max(now - 10, 0),
      }[event.key];
      if (next === undefined) return;
      event.preventDefault();
      event.stopPropagation();
      choose(order[next]);
    });

    const size = () => { box.style.maxHeight = `${model.get("height")}px`; };
    const all = () => { paintHead(); paintBody(); };
    model.on("change:columns", all);
    model.on("change:sort_by", paintHead);
    model.on("change:descending", paintHead);
    model.on("change:rows", paintBody);
    model.on("change:order", paintBody);
    model.on("change:selected", () => paintSelection(true));
    model.on("change:height", size);
    size();
    all();
    paintSelection(true);
  },
};
