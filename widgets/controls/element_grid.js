const NEXT = { allowed: "required", required: "forbidden", forbidden: "allowed" };
const KEYS = { r: "required", f: "forbidden", a: "allowed" };
const SIGN = { allowed: "", required: "✓", forbidden: "✕" };

export default {
  initialize: hear,
  render({ model, el }) {
    el.classList.add("cl-elements");
    const grid = document.createElement("div");
    grid.className = "cl-pt";
    grid.setAttribute("role", "group");
    grid.setAttribute("aria-label", "Periodic table. Arrow keys move; R requires, F forbids, A allows.");
    el.append(grid);
    const buttons = new Map();
    const places = new Map();

    const state = (symbol) => model.get("marks")[symbol] ?? "allowed";
    const why = (symbol) => model.get("locked") || model.get("disabled")[symbol] || "";

    const paint = () => {
      grid.classList.toggle("cl-pt-locked", Boolean(model.get("locked")));
      for (const [symbol, b] of buttons) {
        const reason = why(symbol);
        const now = state(symbol);
        b.className = `cl-el cl-el-${now}`;
        b.setAttribute("aria-disabled", String(Boolean(reason)));
        b.setAttribute("aria-label", `${b.dataset.name}: ${reason || now}`);
        b.title = reason ? `${b.dataset.name}: ${reason}` : `${b.dataset.name}: ${now}`;
        b.lastChild.textContent = SIGN[now];
      }
    };

    const set = (symbol, next) => {
      const reason = why(symbol);
      if (reason) { model.send({ refused: reason }); return; }
      const marks = { ...model.get("marks") };
      if (next === "allowed") delete marks[symbol]; else marks[symbol] = next;
      model.set("marks", marks);
      model.save_changes();
    };

    const move = (cell, dx, dy) => {
      let { row, column } = cell;
      for (let step = 0; step < 20; step += 1) {
        row += dy;
        column += dx;
        const next = places.get(`${row},${column}`);
        if (next) { focus(next.symbol); return; }
      }
    };

    const focus = (symbol) => {
      for (const b of buttons.values()) b.tabIndex = -1;
      buttons.get(symbol).tabIndex = 0;
      buttons.get(symbol).focus();
    };

    const build = () => {
      grid.replaceChildren();
      buttons.clear();
      places.clear();
      for (const cell of model.get("cells")) {
        const b = document.createElement("button");
        b.type = "button";
        b.dataset.symbol = cell.symbol;
        b.dataset.name = cell.name;
        b.style.gridRow = cell.row;
        b.style.gridColumn = cell.column;
        b.tabIndex = buttons.size === 0 ? 0 : -1;
        const text = document.createElement("span");
        text.textContent = cell.symbol;
        const sign = document.createElement("i");
        sign.setAttribute("aria-hidden", "true");
        b.append(text, sign);
        b.addEventListener("click", () => { focus(cell.symbol); set(cell.symbol, NEXT[state(cell.symbol)]); });
        b.addEventListener("keydown", (event) => {
          const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
          const key = KEYS[event.key.toLowerCase()];
          if (step) move(cell, ...step);
          else if (key && !event.ctrlKey && !event.metaKey) set(cell.symbol, key);
          else return;
          // JupyterLab has its own meaning for these keys.
          event.preventDefault();
          event.stopPropagation();
        });
        buttons.set(cell.symbol, b);
        places.set(`${cell.row},${cell.column}`, cell);
        grid.append(b);
      }
      paint();
    };

    model.on("change:cells", build);
    for (const name of ["marks", "disabled", "locked"]) model.on(`change:${name}`, paint);
    build();
  },
};
