function webgl() {
  try {
    const canvas = document.createElement("canvas");
    const context = canvas.getContext("webgl2") || canvas.getContext("webgl");
    const works = Boolean(context);
    context?.getExtension("WEBGL_lose_context")?.loseContext();
    return works;
  } catch {
    return false;
  }
}

export default {
  render({ model, el }) {
    el.style.display = "none";
    if (!webgl()) {
      model.send({ status: "no-webgl" });
      return;
    }
    const target = model.get("target");
    const until = performance.now() + 1000 * model.get("patience");
    // The waiting time counts only while the panel is on the page and visible.
    let visibleSince = null;
    const timer = setInterval(() => {
      let box = el.parentElement;
      while (box && !box.querySelector(`.${target}`)) box = box.parentElement;
      const found = box?.querySelector(`.${target}`);
      if (found?.querySelector("canvas")) {
        clearInterval(timer);
        model.send({ status: "ready" });
        return;
      }
      if (el.parentElement?.offsetParent === null) { visibleSince = null; return; }
      visibleSince ??= performance.now();
      if (performance.now() > Math.max(until, visibleSince + 1000 * model.get("patience"))) {
        clearInterval(timer);
        model.send({ status: "no-extension" });
      }
    }, 60);
    return () => clearInterval(timer);
  },
};
