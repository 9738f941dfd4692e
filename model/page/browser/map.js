// The evidence for one diagnosis, as cells over the picture in grey.
import {box, make} from "./elements.js";
import {speaker} from "./words.js";

const ZOOMS = [1, 1.5, 2, 3, 4];
export const OPAQUE = 65; // percent, how far the slider first is from the picture to the map

function svg(tag, attributes, ...children) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
}

const most = ({evidence}, label) => Math.max(...evidence.maps[label]);

/** Whether anything stands out for a diagnosis. */
export const standsOut = (answer, label) => most(answer, label) > 0;

// The edges between cells inside and outside, as the path of an SVG of one unit per cell.
function outline({height, width}, inside) {
    const at = (row, column) =>
        row >= 0 && row < height && column >= 0 && column < width && inside[row * width + column];
    let path = "";
    for (let row = 0; row <= height; row++)
        for (let column = 0; column <= width; column++) {
            const here = at(row, column);
            if (here !== at(row - 1, column)) path += `M${column} ${row}h1`;
            if (here !== at(row, column - 1)) path += `M${column} ${row}v1`;
        }
    return path;
}

// `extent`: the shares of the picture's height and width that the cells cover, around its middle.
function cells(evidence, strengths, {colours, half}) {
    const {height, width, extent: [down, across] = [1, 1]} = evidence;
    const style = `top: ${50 * (1 - down)}%; left: ${50 * (1 - across)}%; `
        + `width: ${100 * across}%; height: ${100 * down}%`;
    const rects = strengths.map((strength, at) => svg("rect", {
        x: at % width, y: Math.floor(at / width), width: 1, height: 1,
        fill: colours[Math.round(strength * (colours.length - 1))],
        "fill-opacity": Math.sqrt(strength).toFixed(3), "shape-rendering": "crispEdges",
    }));
    const d = outline(evidence, strengths.map(strength => strength >= half));
    const line = {
        d, fill: "none", "stroke-linecap": "square", "vector-effect": "non-scaling-stroke",
    };
    const viewBox = `0 0 ${width} ${height}`;
    return svg("svg", {viewBox, preserveAspectRatio: "none", "aria-hidden": true, style},
        svg("g", {style: "opacity: var(--map)"}, ...rects),
        svg("g", {style: "opacity: min(1, 5 * var(--map))"},
            svg("path", {...line, stroke: "black", "stroke-width": 6}),
            svg("path", {...line, stroke: "white", "stroke-width": 3})));
}

/** The picture with the evidence for `label` over it. The custom property --map goes from 0, the
 * picture as it is, to 1, the picture in grey below the map. */
export function layers(answer, label, page) {
    const {text} = speaker(page), some = standsOut(answer, label);
    const alt = some ? text("map_alt", {name: page.names[label]}) : text("map_plain");
    const picture = make("img", {src: answer.picture, alt});
    if (!some) return box("layers", picture);
    picture.style.filter = "grayscale(min(1, 5 * var(--map)))";
    const {evidence} = answer;
    return box("layers", picture, cells(evidence, evidence.maps[label], page.look));
}

/** What the colours, and the line if there is one, mean in the map for `label`. */
export function legend(answer, label, page) {
    const {text} = speaker(page), {colours, half} = page.look;
    const line = most(answer, label) >= half ? `${text("map_line")} ` : "";
    const ramp = svg("svg",
        {viewBox: `0 0 ${colours.length} 1`, preserveAspectRatio: "none", "aria-hidden": true},
        ...colours.map((fill, x) => svg("rect", {x, width: 1.05, height: 1, fill})));
    return box("legend",
        box("scale", make("span", {}, `${text("map_legend")}: ${text("map_weak")}`), ramp,
            make("span", {}, text("map_strong"))),
        make("p", {className: "small"}, line, text("map_how")));
}

// Buttons that enlarge what `pane` shows of `inner`.
function zooms(pane, inner, {text}) {
    let at = 0;
    const button = (sign, label, step) => make("button", {
        type: "button", textContent: sign, ariaLabel: text(label), title: text(label),
        onclick: () => zoom(at + step),
    });
    const less = button("−", "map_zoom_out", -1), more = button("+", "map_zoom_in", 1);
    function zoom(to) {
        const centre = [
            (pane.scrollLeft + pane.clientWidth / 2) / pane.scrollWidth,
            (pane.scrollTop + pane.clientHeight / 2) / pane.scrollHeight];
        at = to;
        inner.style.setProperty("--zoom", ZOOMS[at]);
        pane.classList.toggle("zoomed", at > 0);
        pane.tabIndex = at > 0 ? 0 : -1; // so that the arrow keys scroll it
        pane.scrollLeft = centre[0] * pane.scrollWidth - pane.clientWidth / 2;
        pane.scrollTop = centre[1] * pane.scrollHeight - pane.clientHeight / 2;
        less.disabled = at === 0;
        more.disabled = at === ZOOMS.length - 1;
    }
    less.disabled = true;
    return [less, more];
}

// A button that shows all of `figure` on the whole screen.
function fullScreen(figure, {text}) {
    const button = make("button", {type: "button", textContent: text("map_full")});
    const named = () => {
        const large = document.fullscreenElement === figure || figure.closest("dialog");
        button.textContent = text(large ? "map_close" : "map_full");
    };
    // The iPhone has no full screen for elements, and an iframe may lack the permission.
    function inDialog() {
        const dialog = make("dialog", {ariaLabel: text("map_full")});
        figure.replaceWith(dialog);
        dialog.append(figure);
        dialog.onclose = () => {
            dialog.replaceWith(figure);
            named();
            button.focus();
        };
        dialog.showModal();
        named();
    }
    figure.onfullscreenchange = named;
    button.onclick = async () => {
        if (document.fullscreenElement === figure) return document.exitFullscreen();
        const dialog = figure.closest("dialog");
        if (dialog) return dialog.close();
        try {
            await figure.requestFullscreen();
        } catch {
            inDialog();
        }
    };
    return button;
}

/** The map of `answer`: {figure, choose(label)}, where `choose` shows the evidence for a label. */
export function map(answer, page) {
    const words = speaker(page), {text} = words, {height, width} = answer.evidence;
    const title = make("figcaption"), view = box("view"), pane = box("pane", view);
    const none = make("p"), key = box("key");
    pane.role = "group";
    pane.ariaLabel = text("map_plain");
    const slider = make("input", {
        type: "range", min: 0, max: 100, value: OPAQUE, ariaLabel: text("map_opacity"),
    });
    const fade = make("label", {className: "fade"}, text("map_picture"), slider, text("map_map"));
    const figure = make("figure", {className: "map"}, title, pane);
    const buttons = box("row", ...zooms(pane, view, words), fullScreen(figure, words));
    const row = box("row", fade, buttons);
    figure.append(row, none, key);
    const mix = () => {
        figure.style.setProperty("--map", slider.value / 100);
        slider.ariaValueText = words.percent(slider.value / 100);
    };
    slider.oninput = mix;
    mix();
    function choose(label) {
        const some = standsOut(answer, label), drawn = layers(answer, label, page);
        const picture = drawn.querySelector("img");
        picture.onload = () => figure.style.setProperty(
            "--ratio", picture.naturalWidth / picture.naturalHeight);
        view.replaceChildren(drawn);
        title.replaceChildren(make("strong", {}, text("map", {n: height * width})),
            ` ${page.names[label]}`);
        none.textContent = text("map_none", {name: page.names[label]});
        none.hidden = some;
        key.replaceChildren(...some ? [legend(answer, label, page)] : []);
        fade.hidden = !some;
    }
    return {figure, choose};
}
