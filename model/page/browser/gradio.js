// Gradio takes its own words, such as those in its field for files, from the browser's language, or
// has them in English only. model/page/texts.py makes them English in every language; here they are
// translated on the page of another language.

/** Replace Gradio's words on the page, now and later; `words` is {English: other}. */
export function translate(words) {
    const better = new Map(Object.entries(words)), ours = ".tab, #table, #counts";
    const attributes = ["aria-label", "title"];

    function tidy(root) {
        if ((root.parentElement ?? root).closest?.(ours)) return;
        if (root.nodeType === Node.TEXT_NODE) {
            const said = root.data.trim();
            if (better.has(said)) root.data = root.data.replace(said, better.get(said));
        }
        for (const name of attributes) {
            const said = root.getAttribute?.(name);
            if (better.has(said)) root.setAttribute(name, better.get(said));
        }
        root.childNodes.forEach(tidy);
    }

    tidy(document.body);
    new MutationObserver(changes => {
        for (const {target, addedNodes, type} of changes)
            (type === "childList" ? addedNodes : [target]).forEach(tidy);
    }).observe(document.body, {
        childList: true, characterData: true, subtree: true, attributeFilter: attributes,
    });
}
