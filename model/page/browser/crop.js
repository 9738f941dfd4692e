// Crops and turns a picture in a dialog.
import {box, buttons, make} from "./elements.js";
import {speaker} from "./words.js";

// A frame's sides are shares of the turned picture. Turned are first `quarters` and then `degrees`,
// both clockwise.
const WHOLE = {left: 0, top: 0, right: 1, bottom: 1};
const UNTOUCHED = {quarters: 0, degrees: 0, frame: WHOLE};
const LEAST = 0.05; // of the picture, the smallest side of a frame
const STEP = 0.01; // of the picture, per press of an arrow key
const PREVIEW = 1024, LONGEST = 2048; // pixels of the longer side, while cropping and afterwards
const ARROWS = {
    ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP],
};
const SIDES = ["n", "e", "s", "w", "nw", "ne", "se", "sw"];

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** A frame moved by shares (dx, dy) of the picture, or only those of its sides whose letters (n, e,
 * s, w) `sides` has. It stays within the picture. */
export function moved({left, top, right, bottom}, sides, dx, dy) {
    if (!sides) {
        const x = clamp(dx, -left, 1 - right), y = clamp(dy, -top, 1 - bottom);
        return {left: left + x, top: top + y, right: right + x, bottom: bottom + y};
    }
    return {
        left: sides.includes("w") ? clamp(left + dx, 0, right - LEAST) : left,
        top: sides.includes("n") ? clamp(top + dy, 0, bottom - LEAST) : top,
        right: sides.includes("e") ? clamp(right + dx, left + LEAST, 1) : right,
        bottom: sides.includes("s") ? clamp(bottom + dy, top + LEAST, 1) : bottom,
    };
}

/** Size, in whole pixels, of the picture after turning. By other than quarters, it is the largest
 * upright rectangle of the picture's shape that has no empty corners. */
function turnedSize({naturalWidth, naturalHeight}, {quarters, degrees}) {
    const sides = [naturalWidth, naturalHeight];
    const [width, height] = quarters % 2 ? sides.reverse() : sides;
    const angle = Math.abs(degrees) * Math.PI / 180;
    const longer = Math.max(width / height, height / width);
    const scale = 1 / (Math.cos(angle) + longer * Math.sin(angle));
    return {width: Math.floor(width * scale), height: Math.floor(height * scale)};
}

/** The part of the turned picture that is within the frame, in whole pixels. */
function part(picture, edit) {
    const {width, height} = turnedSize(picture, edit), {frame} = edit;
    const left = Math.round(frame.left * width), top = Math.round(frame.top * height);
    return {
        left, top,
        width: Math.max(1, Math.round(frame.right * width) - left),
        height: Math.max(1, Math.round(frame.bottom * height) - top),
    };
}

/** The largest frame of 4:3, or upright 3:4, in the middle of the present one. */
function shaped(picture, edit) {
    const {width, height} = part(picture, edit), {left, top, right, bottom} = edit.frame;
    const ratio = width < height ? 3 / 4 : 4 / 3;
    const across = (right - left) * Math.max(0, 1 - height * ratio / width) / 2;
    const down = (bottom - top) * Math.max(0, 1 - width / ratio / height) / 2;
    return {left: left + across, top: top + down, right: right - across, bottom: bottom - down};
}

/** Draw on `canvas` the part of the turned picture that is within the frame, so that its longer
 * side has `longer` pixels; where the picture is transparent on white, as the server does. */
function paint(canvas, picture, edit, longer) {
    const whole = turnedSize(picture, edit), {left, top, width, height} = part(picture, edit);
    const scale = longer / Math.max(width, height);
    canvas.width = Math.max(1, Math.round(width * scale));
    canvas.height = Math.max(1, Math.round(height * scale));
    const context = canvas.getContext("2d");
    context.fillStyle = "white";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.imageSmoothingQuality = "high";
    context.scale(canvas.width / width, canvas.height / height);
    context.translate(whole.width / 2 - left, whole.height / 2 - top);
    context.rotate((90 * edit.quarters + edit.degrees) * Math.PI / 180);
    context.drawImage(picture, -picture.naturalWidth / 2, -picture.naturalHeight / 2);
}

/** Let the visitor crop and turn a picture file, in a dialog within `place`. `before` is the `edit`
 * that this function gave the last time for the same file. Resolves to {edit, file}, where `file`
 * is the original if nothing is cropped or turned, and otherwise a JPEG of at most LONGEST pixels a
 * side; or to null if the visitor cancels. Rejects if the browser cannot read the file. */
export async function crop(place, page, file, before) {
    const {text, number} = speaker(page);
    const picture = make("img", {src: URL.createObjectURL(file)});
    try {
        await picture.decode();
    } catch (error) {
        URL.revokeObjectURL(picture.src);
        throw error;
    }
    let edit;

    const canvas = make("canvas");
    const frame = make("div", {
        className: "frame", tabIndex: 0, ariaLabel: text("picker_frame"),
        role: "application", // so that screen readers leave it the arrow keys
        onkeydown: pressed, onpointerdown: held,
        onlostpointercapture: () => frame.onpointermove = null,
    }, ...SIDES.map(side => box(`handle ${side}`)));
    frame.setAttribute("aria-describedby", "picker_frame_hint");
    const slider = make("input", {type: "range", min: -45, max: 45, oninput: straighten});
    const degrees = make("output"), size = make("output", {className: "small"});
    const button = buttons(text);
    const dialog = make("dialog", {className: "crop", ariaLabel: text("picker_crop")},
        make("p", {id: "picker_frame_hint", className: "small"}, text("picker_frame_hint")),
        box("stage", canvas, frame), size,
        make("label", {className: "row"}, text("picker_straighten"), slider, degrees),
        box("row",
            button("picker_left", () => turn(3)), button("picker_right", () => turn(1)),
            button("picker_ratio", () => setFrame(shaped(picture, edit))),
            button("picker_reset", () => draw(UNTOUCHED))),
        box("row", button("picker_apply", () => dialog.close("apply"), "main"),
            button("picker_cancel", () => dialog.close())));

    function draw(next) {
        edit = next;
        paint(canvas, picture, {...edit, frame: WHOLE}, PREVIEW);
        slider.value = edit.degrees;
        degrees.textContent = `${number(edit.degrees)}°`;
        setFrame(edit.frame);
    }

    function setFrame(next) {
        edit = {...edit, frame: next};
        const {left, top, right, bottom} = next;
        Object.assign(frame.style, {
            left: `${100 * left}%`, top: `${100 * top}%`,
            right: `${100 * (1 - right)}%`, bottom: `${100 * (1 - bottom)}%`,
        });
        const {width, height} = part(picture, edit);
        size.textContent = text("picker_size", {width: number(width), height: number(height)});
    }

    function turn(quarters) {
        let {left, top, right, bottom} = edit.frame; // turns along
        for (let i = 0; i < quarters; i++)
            [left, top, right, bottom] = [1 - bottom, left, 1 - top, right];
        const frame = {left, top, right, bottom};
        draw({...edit, quarters: (edit.quarters + quarters) % 4, frame});
    }

    function straighten() {
        draw({...edit, degrees: slider.valueAsNumber});
    }

    function pressed(event) {
        const [dx, dy] = ARROWS[event.key] ?? [];
        if (dx === undefined) return;
        event.preventDefault(); // of scrolling
        setFrame(moved(edit.frame, event.shiftKey ? "se" : "", dx, dy));
    }

    function held(start) {
        const before = edit.frame, {width, height} = canvas.getBoundingClientRect();
        const sides = SIDES.find(side => start.target.classList.contains(side)) ?? "";
        frame.setPointerCapture(start.pointerId);
        frame.onpointermove = ({clientX, clientY}) => setFrame(moved(before, sides,
            (clientX - start.clientX) / width, (clientY - start.clientY) / height));
    }

    place.append(dialog);
    draw(before ?? UNTOUCHED);
    dialog.showModal();
    await new Promise(resolve => dialog.onclose = resolve);
    dialog.remove();
    URL.revokeObjectURL(picture.src);
    if (dialog.returnValue !== "apply") return null;
    const uncropped = Object.keys(WHOLE).every(side => edit.frame[side] === WHOLE[side]);
    if (uncropped && !edit.quarters && !edit.degrees) return {edit, file};
    const {width, height} = part(picture, edit);
    paint(canvas, picture, edit, Math.min(LONGEST, Math.max(width, height)));
    const blob = await new Promise(resolve => canvas.toBlob(resolve, "image/jpeg", 0.95));
    return {edit, file: new File([blob], file.name, {type: blob.type})};
}
