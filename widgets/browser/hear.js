// anywidget (0.9 to 0.11) waits two seconds for a model's code. Where that takes longer, as on a busy
// machine, it draws the widget and never hands it another message: such a model listens by
// ipywidgets' own method instead, and asks the kernel for what it missed.
async function hear({ model }) {
  const whole = await model.widget_manager.get_model(model.get("own_id"));
  whole._handle_comm_msg({ content: { data: {} } }).catch(() => {
    let kind = Object.getPrototypeOf(whole);
    while (!Object.hasOwn(kind, "_handle_comm_msg")) kind = Object.getPrototypeOf(kind);
    const handle = Object.getPrototypeOf(kind)._handle_comm_msg;
    whole.comm?.on_msg((message) => handle.call(whole, message));
    whole.comm?.send({ method: "request_state" }, {});
  });
}

