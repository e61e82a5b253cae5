// Brings its panel into view as soon as it is there, and again when Run All has ended, which leaves
// the page at the notebook's last cell.
const EVERY = 400; // ms
const AT_MOST = 150; // times
const NEW = 60; // s since the kernel made it
const BY_HAND = ["wheel", "pointerdown", "keydown"];

export default {
  initialize: hear,
  render({ model, el }) {
    if (Math.abs(Date.now() / 1000 - model.get("made")) > NEW) return () => {}; // a page opened later
    let [looks, idle] = [0, 0];
    const look = () => {
      const cell = el.closest(".jp-Cell");
      const prompts = cell?.closest(".jp-Notebook")?.querySelectorAll(".jp-InputPrompt") ?? [];
      const running = [...prompts].some((prompt) => prompt.textContent.includes("*"));
      idle = running ? 0 : idle + 1;
      looks += 1;
      if (looks === 1 || idle === 2) { // JupyterLab itself scrolls at the end
        cell?.querySelector(".jp-Cell-outputWrapper")?.scrollIntoView({ block: "start" });
      }
      if (looks > AT_MOST || idle > 2) stop();
    };
    const timer = setInterval(look, EVERY);
    const stop = () => {
      clearInterval(timer);
      for (const kind of BY_HAND) document.removeEventListener(kind, stop, true);
    };
    // Whoever moves the page meanwhile wants to be where they are.
    for (const kind of BY_HAND) document.addEventListener(kind, stop, true);
    return stop;
  },
};
