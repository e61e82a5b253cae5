export default {
  initialize: hear,
  render({ model, el }) {
    el.classList.add("cl-save");
    const b = document.createElement("button");
    b.type = "button";
    b.className = "jupyter-button lm-Widget cl-button";
    const paint = (busy = false) => {
      b.textContent = busy ? "Preparing…" : model.get("text");
      b.disabled = busy;
      b.title = model.get("text");
    };
    b.addEventListener("click", () => { paint(true); model.send({ press: true }); });
    const receive = (content, buffers) => {
      const here = b.disabled; // pressed in this view, not in one in another tab
      paint();
      if (!here || !content.name || !buffers?.length) return;
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([buffers[0]]));
      link.download = content.name;
      document.body.append(link);
      link.click();
      link.remove();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    };
    const again = () => paint();
    model.on("msg:custom", receive);
    model.on("change:text", again);
    paint();
    el.append(b);
    return () => model.off("msg:custom", receive);
  },
};
