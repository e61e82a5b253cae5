const show = (value, digits = null) => {
  if (value === null || value === undefined) return "–";
  if (value === true) return "✓ yes";
  if (value === false) return "✕ no";
  if (typeof value === "number") return Number.isInteger(value) && digits === null ? String(value) : value.toFixed(digits ?? 3);
  return String(value);
};

export default {
  initialize: hear,
  render({ model, el }) {
    el.classList.add("cl-table-widget");
    const box = document.createElement("div");
    box.className = "cl-table-box";
    const table = document.createElement("table");
    table.className = "cl-table";
    table.setAttribute("role", "grid");
    table.tabIndex = 0;
    table.setAttribute("aria-label", "Crystals. Arrow keys select a row, Space chooses it.");
    const head = document.createElement("thead");
    const body = document.createElement("tbody");
    table.append(head, body);
    box.append(table);
    el.append(box);
    const lines = new Map();

    let moved = false; // the selection has changed since the rows were painted
    const choose = (index) => {
      model.set("selected", index);
      model.save_changes();
    };

    const box_of = (name, checked, change) => {
      const input = document.createElement("input");
      input.type = "checkbox";
      input.checked = checked;
      input.setAttribute("aria-label", name);
      input.title = name;
      input.tabIndex = -1; // Space checks the selected row: a thousand boxes are no stops for Tab
      input.addEventListener("click", (event) => { event.stopPropagation(); change(input.checked, event); });
      return input;
    };

    let last = null; // the row that was checked last, where a press with Shift begins
    const check = (index, on, range) => {
      const order = model.get("order");
      const [from, to] = [order.indexOf(last), order.indexOf(index)];
      const touched = range && from >= 0 ? order.slice(Math.min(from, to), Math.max(from, to) + 1) : [index];
      const checked = new Set(model.get("checked"));
      for (const one of touched) { if (on) checked.add(one); else checked.delete(one); }
      last = index;
      model.set("checked", [...checked].sort((a, b) => a - b));
      model.save_changes();
    };

    const paintChecks = () => {
      const checked = new Set(model.get("checked"));
      for (const [index, line] of lines) line.querySelector("input").checked = checked.has(index);
      const all = head.querySelector("input");
      if (!all) return;
      const count = [...lines.keys()].filter((index) => checked.has(index)).length;
      all.checked = count > 0 && count === lines.size;
      all.indeterminate = count > 0 && count < lines.size;
    };

    const paintHead = () => {
      const line = document.createElement("tr");
      const corner = document.createElement("th");
      corner.className = "cl-choice";
      corner.append(box_of("Choose all rows that are shown", false, (on) => {
        model.set("checked", on ? [...model.get("order")].sort((a, b) => a - b) : []);
        model.save_changes();
      }));
      corner.querySelector("input").tabIndex = 0;
      line.append(corner);
      const hidden = new Set(model.get("hidden"));
      for (const column of model.get("columns")) {
        if (hidden.has(column.key)) continue;
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
        b.title = `${column.tip}${column.unit ? `, ${column.unit}` : ""} – sort`;
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
      paintChecks();
    };

    let bright = null; // the line that is painted as selected
    const paintSelection = (scroll) => {
      const line = lines.get(model.get("selected"));
      bright?.setAttribute("aria-selected", "false");
      line?.setAttribute("aria-selected", "true");
      bright = line;
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
      const marks = model.get("marks");
      const hidden = new Set(model.get("hidden"));
      const seen = columns.filter((column) => !hidden.has(column.key));
      lines.clear();
      const made = document.createDocumentFragment();
      for (const index of model.get("order")) {
        const cells = rows[index];
        if (!cells) continue;
        const line = document.createElement("tr");
        line.dataset.index = String(index);
        line.setAttribute("aria-selected", "false");
        const { count, child } = marks[index] ?? {};
        const choice = document.createElement("td");
        choice.className = "cl-choice";
        choice.append(box_of(`Choose row ${index + 1}`, false, (on, event) => check(index, on, event.shiftKey)));
        line.append(choice);
        seen.forEach((column, place) => {
          const value = cells[column.key];
          const cell = document.createElement("td");
          cell.textContent = show(value, column.digits);
          if (typeof value === "number") cell.className = "cl-num";
          if (place === 0 && child) cell.prepend("↳ ");
          if (place === 0 && count) cell.append(` ×${count}`);
          line.append(cell);
        });
        line.addEventListener("click", () => choose(index));
        lines.set(index, line);
        made.append(line);
      }
      if (!lines.size) {
        const line = document.createElement("tr");
        const cell = document.createElement("td");
        cell.colSpan = seen.length + 1;
        cell.textContent = rows.length ? "No crystal passes the filter." : "No crystals yet.";
        cell.className = "cl-none";
        line.append(cell);
        made.append(line);
      }
      body.replaceChildren(made);
      paintSelection(moved);
      moved = false;
      paintChecks();
    };

    table.addEventListener("keydown", (event) => {
      const order = model.get("order");
      if (!order.length || event.target !== table) return;
      const now = order.indexOf(model.get("selected"));
      const end = order.length - 1;
      if (event.key === " " && now >= 0) {
        event.preventDefault();
        event.stopPropagation();
        check(order[now], !model.get("checked").includes(order[now]), false);
        return;
      }
      const next = {
        ArrowDown: Math.min(now + 1, end), ArrowUp: Math.max(now - 1, 0), Home: 0, End: end,
        PageDown: Math.min(now + 10, end), PageUp: Math.max(now - 10, 0),
      }[event.key];
      if (next === undefined) return;
      event.preventDefault();
      event.stopPropagation();
      choose(order[next]);
    });

    const size = () => { box.style.maxHeight = `${model.get("height")}px`; };
    let waiting = false; // several traits change at once, and the rows are painted once
    const soon = () => {
      if (waiting) return;
      waiting = true;
      queueMicrotask(() => { waiting = false; paintBody(); });
    };
    const all = () => { paintHead(); soon(); };
    model.on("change:columns", all);
    model.on("change:hidden", all);
    model.on("change:checked", paintChecks);
    model.on("change:marks", soon);
    model.on("change:sort_by", paintHead);
    model.on("change:descending", paintHead);
    model.on("change:rows", soon);
    model.on("change:order", soon);
    model.on("change:selected", () => { moved = waiting; paintSelection(true); });
    model.on("change:height", size);
    size();
    paintHead();
    paintBody();
    paintSelection(true);
  },
};
