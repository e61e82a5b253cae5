export default {
  initialize: hear,
  render({ model, el }) {
    el.classList.add("cl-drop-widget");
    const zone = document.createElement("button");
    zone.type = "button";
    zone.className = "cl-drop";
    const input = document.createElement("input");
    input.type = "file";
    input.style.display = "none";
    const paint = () => {
      zone.textContent = model.get("text");
      input.accept = model.get("accept");
    };
    const take = async ([file]) => {
      if (!file) return;
      if (file.size > 20e6) {
        model.send({ refused: `${file.name} is larger than 20 MB.` });
      } else {
        model.send({ name: file.name }, undefined, [await file.arrayBuffer()]);
      }
    };
    zone.addEventListener("click", () => input.click());
    input.addEventListener("change", () => { take(input.files); input.value = ""; });
    zone.addEventListener("dragover", (event) => {
      event.preventDefault();
      event.stopPropagation();
      zone.classList.add("cl-over");
    });
    zone.addEventListener("dragleave", () => zone.classList.remove("cl-over"));
    zone.addEventListener("drop", (event) => {
      event.preventDefault();
      event.stopPropagation();
      zone.classList.remove("cl-over");
      take(event.dataTransfer.files);
    });
    for (const name of ["text", "accept"]) model.on(`change:${name}`, paint);
    paint();
    el.append(zone, input);
  },
};
