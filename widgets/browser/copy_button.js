export default {
  initialize: hear,
  render({ model, el }) {
    el.classList.add("cl-copy");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "jupyter-button cl-button cl-small";
    const paint = () => { button.textContent = model.get("text"); };
    button.addEventListener("click", async () => {
      const content = model.get("content");
      try {
        await navigator.clipboard.writeText(content);
      } catch { // a page that is not served over https has no clipboard of its own
        const area = document.createElement("textarea");
        area.value = content;
        document.body.append(area);
        area.select();
        document.execCommand("copy");
        area.remove();
        button.focus();
      }
      button.textContent = "Copied ✓";
      setTimeout(paint, 1500);
    });
    model.on("change:text", paint);
    paint();
    el.append(button);
  },
};
