export default {
  initialize: hear,
  render({ model, el }) {
    el.classList.add("cl-stop-kernel");
    const b = document.createElement("button");
    b.type = "button";
    b.className = "jupyter-button lm-Widget cl-button";
    const paint = () => {
      b.textContent = model.get("text");
      b.disabled = !model.get("enabled");
    };
    // A message waits until the cell that trains has ended, so the kernel is interrupted as well,
    // as the toolbar's button does. Elsewhere than in Jupyter there is no such address.
    const interrupt = async () => {
      const kernel = model.get("kernel");
      const text = document.getElementById("jupyter-config-data")?.textContent;
      if (!kernel || !text) return;
      const config = JSON.parse(text);
      const headers = {};
      const cookie = document.cookie.match(/(?:^|; )_xsrf=([^;]*)/);
      if (cookie) headers["X-XSRFToken"] = cookie[1];
      if (config.token) headers.Authorization = `token ${config.token}`;
      const address = `${config.baseUrl ?? "/"}api/kernels/${kernel}/interrupt`;
      await fetch(address, { method: "POST", headers, credentials: "same-origin" });
    };
    b.addEventListener("click", () => {
      b.disabled = true;
      model.send({ press: true });
      interrupt();
    });
    model.on("change:text", paint);
    model.on("change:enabled", paint);
    paint();
    el.append(b);
  },
};
