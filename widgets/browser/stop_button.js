export default {
  initialize: hear,
  render({ model, el }) {
    const b = document.createElement("button");
    b.type = "button";
    b.className = "jupyter-button lm-Widget cl-button";
    const paint = () => {
      b.textContent = model.get("text");
      b.disabled = !model.get("enabled");
    };
    b.addEventListener("click", () => {
      b.disabled = true;
      model.send({ press: true });
      // The message waits until the cell that trains has ended, so the kernel is interrupted, too.
      model.widget_manager.kernel?.interrupt();
    });
    model.on("change:text", paint);
    model.on("change:enabled", paint);
    paint();
    el.append(b);
  },
};
