// Chooses a picture: by upload, drop, paste, camera or from the examples; crops and rotates it.
import {camera} from "./camera.js";
import {crop} from "./crop.js";
import {box, buttons, make} from "./elements.js";
import {pasted, register} from "./incoming.js";
import {speaker} from "./words.js";

/** Fill `place` with a picker. `page` is settings() of model/page/settings.py, `base` the address
 * below which the files of model/page/served.py lie. Options:
 *   take(file, name)  called when the visitor presses Classify, or chooses an example: what is to
 *                     be classified, a File (the original, or a JPEG if it was cropped or rotated),
 *                     and what to call it
 *   changed(file, former)   called when the visitor chooses, crops or selects another picture, or
 *                     none (null), so that the answer to the one before can be taken away; `former`
 *                     is the file that a crop replaces
 *   examples          whether to offer the example pictures (default: true)
 *   local             whether the picture stays on this device, whose browser then has to read it
 *   multiple          whether several pictures may be chosen at once: then `take` is called for
 *                     each in turn, and its promise awaited
 * Returns {focus, select, more}: functions that move the keyboard's focus here and that show one of
 * the chosen files, and an element with hints and examples, to be placed by the caller: on a phone
 * it belongs below the answer. */
export function picker(place, page, base, {
    take, changed = () => {}, examples = true, local = false, multiple = false,
}) {
    const {text} = speaker(page);
    const button = buttons(text);
    let chosen = []; // each {original, edit, file}: as chosen, how to crop and turn it, the result
    let current = null; // the one that is shown
    let running = []; // the files that are being classified
    let editing = null; // a promise while a picture is cropped
    let asked = 0; // a later choice makes an example obsolete that is still being fetched

    // --- what is seen
    const input = make("input", {
        type: "file", accept: "image/*,.heic,.heif,.hif,.jfif", multiple,
        onchange() {
            choose([...input.files]);
            input.value = ""; // so that the same file can be chosen again
        },
    });
    const ways = box("ways", make("p", {}, text("picker_drop")),
        box("row",
            make("label", {className: "button"}, input,
                text(multiple ? "picker_choose_many" : "picker_choose")),
            ...navigator.mediaDevices ? [button("picker_camera", shoot)] : [],
            ...navigator.clipboard?.read ? [button("picker_paste", paste)] : []));
    ways.onclick = event => event.target.closest("button, label") || input.click();
    const {film, open: openCamera, close: closeCamera} = camera(
        text, file => choose([file]), () => {
            ways.hidden = current !== null;
            input.focus({preventScroll: true});
        });
    const picture = make("img");
    const photo = make("button", {
        type: "button", className: "photo", title: text("picker_enlarge"), onclick: enlarge,
    }, picture);
    const unseen = make("p");
    const names = make("ul", {className: "names", hidden: true});
    const alert = make("p", {role: "alert"});
    const main = button("classify", classify, "main");
    const edit = button("picker_crop", editCurrent);
    const other = button("picker_other", () => {
        choose([]);
        input.focus();
    });
    place.classList.add("picker");
    place.replaceChildren(
        box("zone", ways, film, photo, unseen), names, box("row", main, edit, other), alert);

    function show(item) {
        // While a crop is decoded, its button stays, and with it the keyboard's focus.
        if (current !== item || !item) for (const part of [photo, unseen, edit]) part.hidden = true;
        current = item;
        closeCamera();
        alert.textContent = "";
        ways.hidden = item !== null;
        other.hidden = item === null;
        chosen.forEach((one, i) => names.children[i].firstChild.ariaCurrent = String(one === item));
        URL.revokeObjectURL(picture.src);
        if (!item) return;
        const {name} = item.file;
        picture.src = URL.createObjectURL(item.file);
        picture.alt = text("picker_chosen", {name});
        unseen.textContent = text(local ? "picker_unusable" : "picker_unseen", {name});
        const seen = yes => {
            if (current !== item) return;
            photo.hidden = edit.hidden = !yes;
            unseen.hidden = yes;
        };
        return picture.decode().then(() => seen(true), () => seen(false));
    }

    function choose(files) {
        asked++;
        running = [];
        // The focus would be lost with what is hidden now.
        if (place.contains(document.activeElement)) main.focus({preventScroll: true});
        chosen = files.slice(0, multiple ? files.length : 1)
            .map(file => ({original: file, edit: null, file}));
        names.hidden = chosen.length < 2;
        names.replaceChildren(...chosen.map(item => make("li", {}, make("button", {
            type: "button", textContent: item.file.name, onclick() {
                show(item);
                changed(item.file);
            },
        }))));
        show(chosen[0] ?? null);
        changed(current?.file ?? null);
    }

    const named = ({file, original}) =>
        file === original ? file.name : text("picker_edited", {name: file.name});

    async function classify() {
        await editing; // what is classified is what will be seen
        if (!current) return alert.textContent = text("error_none");
        const all = chosen, files = all.map(item => item.file);
        if (files.every((file, i) => file === running[i])) return; // a second click
        running = files;
        let last = current;
        for (const item of all) {
            if (running !== files || chosen !== all) return;
            // Unless the visitor has turned to another picture.
            if (current === last && current !== item) show(item);
            last = item;
            await take(item.file, named(item));
        }
        if (running === files) running = [];
    }

    function editCurrent() {
        editing ??= edited(current).finally(() => editing = null);
    }

    async function edited(item) {
        const result = await crop(place, page, item.original, item.edit);
        if (!result || !chosen.includes(item)) return;
        const former = item.file;
        Object.assign(item, result);
        show(item);
        changed(item.file, former);
    }

    function enlarge() {
        const dialog = make("dialog", {className: "large", ariaLabel: picture.alt},
            box("row", button("picker_back", () => dialog.close())),
            make("div", {className: "whole", tabIndex: 0}, picture.cloneNode()));
        dialog.onclose = () => dialog.remove();
        place.append(dialog);
        dialog.showModal();
    }

    // --- where pictures come from
    async function paste() {
        const file = await pasted();
        if (file) choose([file]);
        else alert.textContent = text("picker_clipboard");
    }

    async function shoot() {
        alert.textContent = "";
        try {
            if (await openCamera()) ways.hidden = true;
        } catch {
            alert.textContent = text("error_camera");
        }
    }

    async function takeExample(name) {
        const mine = ++asked;
        try {
            const response = await fetch(base + name);
            if (!response.ok) throw new Error();
            const blob = await response.blob();
            if (mine !== asked) return;
            choose([new File([blob], name, {type: blob.type})]);
        } catch {
            return alert.textContent = text("error_unreachable");
        }
        return classify();
    }

    // --- hints and examples
    const more = box("more",
        make("p", {className: "small"}, text("framing")),
        make("p", {className: "small"}, text(local ? "picker_private" : "privacy")));
    if (examples && page.examples.length)
        more.append(
            make("h2", {}, text("examples")),
            box("examples", ...page.examples.map(({name, id, label}) => make("button", {
                type: "button", onclick: () => takeExample(name),
            },
            make("img", {src: base + name, alt: text("picker_example"), loading: "lazy"}),
            make("span", {}, `${page.names[label]}, ${id}`)))),
            make("p", {className: "small"}, text("examples_credit")));

    show(null);
    register({place, choose, empty: () => !current});
    return {
        more,
        focus: () => (current ? main : input).focus(),
        select: file => show(chosen.find(item => item.file === file) ?? null),
    };
}
