// The model and its runtime: fetched once, with progress, checked, and kept in the browser's Cache
// under their checksums, so that later visits need no network. What is no longer wanted is removed.

const STORE = "lesion-private";

const SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65,
    0, 253, 15, 253, 98, 11];
const RELAXED = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0,
    65, 1, 253, 15, 65, 2, 253, 15, 253, 128, 2, 11];
const valid = code => {
    try {
        return WebAssembly.validate(new Uint8Array(code));
    } catch {
        return false;
    }
};

/** Whether this browser can run the model at all: WebAssembly with SIMD, and a worker's canvas. */
export const able = () => valid(SIMD) && "Worker" in self && "OffscreenCanvas" in self
    && "createImageBitmap" in self;

/** {name: entry} of the files that this browser needs: several threads where the page is isolated. */
export function wanted(files) {
    const kind = self.crossOriginIsolated && valid(RELAXED) ? "threaded" : "compat";
    const {litert, model, picture, worker} = files;
    return {litert, model, picture, worker, runtime: files[`${kind}.js`], wasm: files[`${kind}.wasm`]};
}

const key = entry => `${location.origin}/${STORE}/${entry.sha256}`;

// Neither outside of https and localhost, where the files come anew with each visit.
const opened = async () => {
    try {
        return await self.caches?.open(STORE) ?? null;
    } catch {
        return null;
    }
};

/** Bytes that have to come over the network. */
export async function missing(entries) {
    const store = await opened();
    let bytes = 0;
    for (const entry of Object.values(entries)) if (!await store?.match(key(entry))) bytes += entry.transfer;
    return bytes;
}

async function right(blob, entry) {
    if (!self.crypto?.subtle) return blob.size === entry.bytes;
    const digest = await crypto.subtle.digest("SHA-256", await blob.arrayBuffer());
    return Array.from(new Uint8Array(digest), b => b.toString(16).padStart(2, "0")).join("") === entry.sha256;
}

async function download(url, entry, progress) {
    const parts = [];
    try {
        const response = await fetch(url);
        if (response.status === 404) throw {key: "private_changed"};
        if (!response.ok) throw {key: "private_offline"};
        const reader = response.body.getReader();
        for (let part = await reader.read(); !part.done; part = await reader.read()) {
            parts.push(part.value);
            progress(part.value.length / entry.bytes * entry.transfer);
        }
    } catch (error) {
        throw error.key ? error : {key: "private_offline"};
    }
    const blob = new Blob(parts, {type: entry.type});
    if (!await right(blob, entry)) throw {key: "private_altered"};
    return blob;
}

/** {name: Blob} of `entries`, out of the Cache or from under `base`; `progress(bytes)` is told of
 * each part that came over the network. Throws {key} of a text. */
export async function obtain(entries, base, progress) {
    const store = await opened(), found = {};
    for (const [name, entry] of Object.entries(entries)) {
        const kept = await (await store?.match(key(entry)))?.blob();
        if (kept && await right(kept, entry)) {
            found[name] = new Blob([kept], {type: entry.type});
            continue;
        }
        found[name] = await download(base + entry.name, entry, progress);
        // A full disk is no reason to fail: the file comes anew with the next visit.
        await store?.put(key(entry), new Response(found[name])).catch(() => {});
    }
    const keys = new Set(Object.values(entries).map(key));
    for (const request of await store?.keys() ?? []) if (!keys.has(request.url)) await store.delete(request);
    return found;
}
