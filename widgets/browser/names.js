// Gives every control of a panel the name that stands beside it, for screen readers.
const CONTROLS = "input:not([type=file]), select, textarea, button, .noUi-handle, [role=slider]";
const ICONS = { "fa-play": "Play", "fa-pause": "Pause", "fa-stop": "Stop", "fa-retweet": "Repeat" };

// ipywidgets leaves a label that is hidden where a widget has no description.
const labelOf = (control) => {
  const label = control.id && control.closest(".jupyter-widgets")?.querySelector("label");
  return label?.offsetParent ? label.textContent.trim() : "";
};

const nameOf = (control) => {
  const own = labelOf(control);
  if (own) return own;
  const icon = control.querySelector?.("i.fa")?.classList ?? [];
  const drawn = [...icon].map((name) => ICONS[name]).find(Boolean);
  if (drawn) return drawn;
  const field = control.closest(".cl-field")?.querySelector(".cl-label")?.textContent.trim();
  const section = control.closest(".cl-scalar, .cl-kind, .cl-folding, .cl-column")
    ?.querySelector("h4, .cl-heading, .cl-label")?.textContent.trim();
  const base = field || section || control.title || control.placeholder || "";
  if (!control.classList.contains("noUi-handle")) return base;
  const ends = control.closest(".noUi-base")?.querySelectorAll(".noUi-handle").length ?? 1;
  if (ends === 1) return base || "Step";
  return `${base}, ${control.classList.contains("noUi-handle-lower") ? "from" : "to"}`;
};

const nameAll = (root) => {
  // ipywidgets writes "null" where a widget has no tooltip.
  for (const part of root.querySelectorAll("[title=null]")) part.removeAttribute("title");
  for (const control of root.querySelectorAll(CONTROLS)) {
    const given = control.getAttribute("aria-label");
    if (given && given !== control.dataset.clName) continue; // a widget named it itself
    if (control.tagName === "BUTTON" && control.textContent.trim()) continue;
    const name = nameOf(control);
    if (!name || given === name) continue;
    control.setAttribute("aria-label", name);
    control.dataset.clName = name;
  }
  for (const stage of root.querySelectorAll(".cl-ngl")) {
    const title = stage.closest(".cl-viewer")?.querySelector(".cl-title")?.textContent.trim();
    stage.setAttribute("role", "img");
    stage.setAttribute("aria-label", `Crystal, drawn: ${title || "no title"}`);
  }
};

export default {
  initialize: hear,
  render({ el }) {
    let waiting = 0;
    const later = () => {
      waiting ||= setTimeout(() => {
        waiting = 0;
        const root = el.closest(".cl-root");
        if (root) nameAll(root);
      }, 200);
    };
    const watch = new MutationObserver(later);
    const start = setInterval(() => { // the panel is put into the page after this part of it
      const root = el.closest(".cl-root");
      if (!root) return;
      clearInterval(start);
      watch.observe(root, { childList: true, subtree: true, characterData: true });
      later();
    }, 100);
    return () => { clearInterval(start); watch.disconnect(); };
  },
};
