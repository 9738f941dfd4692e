// Files that the visitor pastes or drops anywhere on the page, for one of its pickers.
const pickers = [];

/** Let a picker get files: `place` is its element, `empty` tells whether it has no picture yet, and
 * `choose` takes an array of files. */
export const register = picker => pickers.push(picker);

/** The picker that an event's files are for: the visible one around it, else the first that has no
 * picture yet, else the first. None in a tab without pickers. */
function receiver(event) {
    const visible = pickers.filter(({place}) => place.offsetParent);
    return visible.find(({place}) => place.contains(event.target))
        ?? visible.find(({empty}) => empty()) ?? visible[0];
}

function highlight(picker) {
    for (const one of pickers) one.place.classList.toggle("over", one === picker);
}

function receive(event, files) {
    const picker = receiver(event);
    highlight(null);
    if (!files.length) return;
    if (picker || event.type === "drop")
        event.preventDefault(); // a browser would leave the page and show the dropped file
    if (!picker) return;
    if (!document.querySelector("dialog[open]")) picker.choose([...files]);
}

addEventListener("paste", event => receive(event, event.clipboardData.files));
addEventListener("drop", event => receive(event, event.dataTransfer.files));
addEventListener("dragleave", () => highlight(null));
addEventListener("dragover", event => {
    const picker = receiver(event);
    highlight(picker);
    if (event.dataTransfer.types.includes("Files"))
        event.preventDefault(); // or else nothing could be dropped
});

/** The picture in the clipboard, or null, also if the browser does not allow reading it. */
export async function pasted() {
    try {
        for (const item of await navigator.clipboard.read()) {
            const type = item.types.find(type => type.startsWith("image/"));
            if (type) return new File([await item.getType(type)], "clipboard", {type});
        }
    } catch {} // refused: as if there were none
    return null;
}
