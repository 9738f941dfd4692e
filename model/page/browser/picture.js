// The server's computations on pixels, repeated in JavaScript: model/preprocessing.py, lens.py,
// quality.py and cam.py. Their limits arrive from model/page/settings.py; the formulas are here, and
// tests/test_private_browser.py compares them with Python's.
//
// A picture is {data, width, height}; `data` is RGB or RGBA, 0 to 255, row by row.

const BITS = 22; // precision of PIL's fixed-point weights, see its src/libImaging/Resample.c

/** For each of `to` output pixels: the `first` of `from` input pixels it draws on, and weights. */
function weights(from, to) {
    const scale = from / to, reach = Math.max(scale, 1);
    return Array.from({length: to}, (_, place) => {
        const centre = (place + 0.5) * scale;
        const first = Math.max(0, Math.trunc(centre - reach + 0.5));
        const last = Math.min(from, Math.trunc(centre + reach + 0.5));
        const share = Array.from({length: last - first}, (_, i) =>
            Math.max(0, 1 - Math.abs((i + first - centre + 0.5) / reach)));
        const sum = share.reduce((a, b) => a + b, 0);
        return {first, share: share.map(value => value / sum)};
    });
}

/** PIL's `Image.resize` with BILINEAR, bit for bit if the height is at most 100 times the width.
 * Returns a Uint8Array of RGB; alpha is ignored. */
function resize({data, width, height}, newWidth, newHeight) {
    const fixed = (from, to) => weights(from, to).map(({first, share}) => (
        {first, share: Int32Array.from(share, value => Math.trunc(0.5 + value * 2 ** BITS))}));
    const pass = (source, rows, advance, stride, out, places) => {
        // Resample each of `rows` lines, `advance` apart, whose pixels are `stride` apart.
        for (let row = 0, at = 0; row < rows; row++)
            for (const {first, share} of places) {
                let r = 1 << (BITS - 1), g = r, b = r;
                let i = row * advance + first * stride;
                for (let k = 0; k < share.length; k++, i += stride) {
                    r += source[i] * share[k];
                    g += source[i + 1] * share[k];
                    b += source[i + 2] * share[k];
                }
                out[at++] = r >> BITS;
                out[at++] = g >> BITS;
                out[at++] = b >> BITS;
            }
        return out;
    };
    const step = data.length / (width * height);
    const across = pass(data, height, width * step, step,
        new Uint8Array(height * newWidth * 3), fixed(width, newWidth));
    const down = pass(across, newWidth, 3, newWidth * 3,
        new Uint8Array(newWidth * newHeight * 3), fixed(height, newHeight));
    // The second pass wrote columns one after another: transpose.
    const out = new Uint8Array(down.length);
    for (let x = 0, at = 0; x < newWidth; x++)
        for (let y = 0; y < newHeight; y++)
            for (let c = 0; c < 3; c++) out[(y * newWidth + x) * 3 + c] = down[at++];
    return out;
}

/** Whether a portrait picture is to be turned a quarter for a landscape input. */
const turned = (picture, height, width) => picture.width < picture.height && width > height;

/** `to_array` of preprocessing.py: Uint8Array of RGB [height, width, 3]. */
function toArray(picture, height, width) {
    if (!turned(picture, height, width)) return resize(picture, width, height);
    // Anticlockwise, as PIL's ROTATE_90.
    const step = picture.data.length / (picture.width * picture.height);
    const data = new Uint8Array(picture.width * picture.height * 3);
    for (let y = 0, at = 0; y < picture.width; y++)
        for (let x = 0; x < picture.height; x++) {
            const from = (x * picture.width + picture.width - 1 - y) * step;
            for (let c = 0; c < 3; c++) data[at++] = picture.data[from + c];
        }
    return resize({data, width: picture.height, height: picture.width}, width, height);
}

/** `_edge` of lens.py: where black ends on the way in from each side, as [x, y] from -1 to 1. */
function edge(grey, {side, black}) {
    const points = [];
    for (const [step, next, sign] of [[1, side, 1], [1, side, -1], [side, 1, 1], [side, 1, -1]])
        for (let line = 0; line < side; line++) {
            const value = i => grey[line * next + (sign > 0 ? i : side - 1 - i) * step];
            let first = 0;
            while (first < side && value(first) < black) first++;
            if (first === 0 || first === side) continue;
            const before = value(first - 1), after = value(first);
            const along = (first - 0.5 + (black - before) / (after - before)) / side * 2 - 1;
            const across = (line + 0.5) / side * 2 - 1;
            points.push(step === 1 ? [sign * along, across] : [across, sign * along]);
        }
    return points;
}

/** `_ellipse` of lens.py, {x, y, a, b}, by the normal equations of its least squares. */
function ellipse(points) {
    const rows = points.map(([x, y]) => [x * x, y * y, x, y]), n = 4;
    const sum = f => rows.reduce((total, row) => total + f(row), 0);
    const table = Array.from({length: n}, (_, i) => Array.from(
        {length: n + 1}, (_, j) => sum(row => row[i] * (j < n ? row[j] : 1))));
    for (let i = 0; i < n; i++)
        for (let k = 0; k < n; k++) {
            if (k === i) continue;
            const factor = table[k][i] / table[i][i];
            for (let j = i; j <= n; j++) table[k][j] -= factor * table[i][j];
        }
    const [A, B, C, D] = table.map((row, i) => row[n] / row[i]);
    if (!(A > 0 && B > 0)) return null;
    const size = 1 + C * C / (4 * A) + D * D / (4 * B);
    return {x: -C / (2 * A), y: -D / (2 * B), a: Math.sqrt(size / A), b: Math.sqrt(size / B)};
}

/** `lens` of lens.py: the circle {x, y, a, b}, or null. */
function lens(picture, rules) {
    const {side, black, near} = rules;
    if (Math.min(picture.width, picture.height) < rules.points) return null;
    const pixels = resize(picture, side, side);
    const grey = Float64Array.from({length: side * side}, (_, i) =>
        0.299 * pixels[3 * i] + 0.587 * pixels[3 * i + 1] + 0.114 * pixels[3 * i + 2]);
    const points = edge(grey, rules);
    const circle = points.length >= rules.points ? ellipse(points) : null;
    if (!circle) return null;
    const far = (x, y) => Math.hypot((x - circle.x) / circle.a, (y - circle.y) / circle.b);
    const at = i => (i + 0.5) / side * 2 - 1;
    const share = (list, fits) => list.filter(fits).length / list.length;
    const places = Array.from(grey, (value, i) => (
        {value, far: far(at(i % side), at(Math.trunc(i / side)))}));
    const ratio = circle.a * picture.width / (circle.b * picture.height);
    const beyond = share(places, place => place.far > 1);
    const found = share(points, ([x, y]) => Math.abs(far(x, y) - 1) < near) > rules.match
        && rules.least < beyond && beyond < rules.most
        && share(places.filter(p => p.far > 1 + near), p => p.value >= black) < rules.mixed
        && 1 / rules.squeezed < ratio && ratio < rules.squeezed
        && Math.max(Math.abs(circle.x), Math.abs(circle.y)) < rules.aside;
    return found ? circle : null;
}

/** `within_lens` of lens.py: the part to keep, {left, top, width, height}, or null for all. */
function withinLens(picture, rules) {
    const {width, height} = picture, circle = lens(picture, rules);
    if (!circle) return null;
    const {x, y, a, b} = circle;
    const shape = Math.min(Math.max(width / height, 1 / rules.longest), rules.longest);
    const wider = shape * height / width;
    const down = rules.reach / Math.hypot(wider / a, 1 / b), across = wider * down;
    const pixel = (place, length) =>
        Math.trunc((Math.min(Math.max(place, -1), 1) + 1) / 2 * length + 0.5);
    const left = pixel(x - across, width), top = pixel(y - down, height);
    return {
        left, top,
        width: pixel(x + across, width) - left, height: pixel(y + down, height) - top,
    };
}

function variance(values) {
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    return values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
}

/** A picture of `width` columns under a kernel of 3 x 3, without the outermost pixels. */
function filtered(grey, width, kernel) {
    const height = grey.length / width, out = [];
    for (let y = 0; y < height - 2; y++)
        for (let x = 0; x < width - 2; x++)
            out.push(kernel.reduce((sum, weight, i) =>
                sum + weight * grey[(y + Math.trunc(i / 3)) * width + x + i % 3], 0));
    return out;
}

/** `detail` of quality.py: the variance of the Laplacian, before and after blurring once more. */
function detail(grey, width) {
    const edges = [0, 1, 0, 1, -4, 1, 0, 1, 0], mean = [1, 2, 1, 2, 4, 2, 1, 2, 1];
    const softer = filtered(grey, width, mean.map(weight => weight / 16));
    return [variance(filtered(grey, width, edges)), variance(filtered(softer, width - 2, edges))];
}

/** `quality_notices` of quality.py: codes of what is wrong with the picture. */
function qualityNotices(picture, rules) {
    const {height, width} = rules;
    const pixels = toArray(picture, height, width);
    const grey = new Float64Array(height * width);
    const channel = c => Float64Array.from(grey, (_, i) => pixels[3 * i + c]);
    for (let i = 0; i < grey.length; i++)
        grey[i] = 0.299 * pixels[3 * i] + 0.587 * pixels[3 * i + 1] + 0.114 * pixels[3 * i + 2];
    const [before, after] = detail(grey, width);
    const share = bound => grey.filter(value => value >= bound).length / grey.length;
    const spreads = [0, 1, 2].map(c => Math.sqrt(variance(channel(c))));
    const uniform = Math.max(...spreads) < rules.uniform;
    const small = Math.min(picture.width, picture.height) < rules.smallest;
    const faults = {
        too_small: small,
        uniform,
        too_dark: share(rules.dark) < rules.lit,
        too_bright: share(rules.white) > rules.burnt,
        blurred: !small && !uniform && (before < rules.sharp || before < rules.fine * after),
        squeezed: Math.max(picture.width, picture.height)
            > rules.long * Math.min(picture.width, picture.height),
    };
    return rules.codes.filter(code => faults[code]);
}

/** RGB pixels, or evidence of `k` numbers per place, turned by half. */
function halfTurn(values, k = 3) {
    const places = values.length / k;
    return values.map((_, i) => values[(places - 1 - Math.trunc(i / k)) * k + i % k]);
}

/** `agreed` of cam.py: evidence [h, w, k] for a picture, and for the same picture turned by half,
 * as a flat array over the first. */
function agreed(evidence, turned, k) {
    const centred = (values, i) => {
        const place = values.slice(i - i % k, i - i % k + k);
        return values[i] - place.reduce((a, b) => a + b, 0) / k;
    };
    const back = halfTurn(turned, k);
    return Array.from(evidence, (_, i) => Math.min(centred(evidence, i), centred(back, i)));
}

const largest = values => values.reduce((a, b) => Math.max(a, b), -Infinity);

/** `strengths` of cam.py, made upright: {width, height, maps} of what `agreed` kept, [h, w, k]; the
 * maps are k Float32Arrays, 0 to 1. `quarter`: whether the picture was turned for the model. */
function strengths(kept, [h, w, k], quarter, blank) {
    const maps = Array.from({length: k}, (_, c) => {
        const map = Float32Array.from({length: h * w}, (_, to) => {
            const at = quarter ? (h - 1 - to % h) * w + Math.trunc(to / h) : to;
            return kept[at * k + c];
        });
        return largest(map) > blank ? map.map(value => Math.max(value, 0)) : map.fill(0);
    });
    const most = Math.max(...maps.map(largest), 1e-6);
    for (const map of maps) map.forEach((value, i) => map[i] = value / most);
    return quarter ? {width: h, height: w, maps} : {width: w, height: h, maps};
}

/** `extent` of cam.py, of the upright picture: [down, across], shares of its height and width. */
function extent([h, w], {height, width}, quarter, stride) {
    const shares = [Math.min(1, h * stride / height), Math.min(1, w * stride / width)];
    return quarter ? shares.reverse() : shares;
}
