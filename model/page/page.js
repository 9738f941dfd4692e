() => {
    // Mends four things in Gradio 6.31: some of its words cannot be translated through gr.I18n
    // (https://www.gradio.app/guides/internationalization), screen readers announce an example's
    // number instead of its caption, probabilities are rounded to 0% and 100%, and a picture whose
    // ending the visitor's system does not know is refused.
    const words = window.gradio_config?.i18n_translations ?? {};
    const language = (navigator.language || "en").split("-")[0];
    const text = words[language] ?? words.en ?? {};
    const certain = {"0%": text.under_1, "100%": text.over_99};
    document.title = text.title;

    const each = (root, selector) => [
        ...root.matches?.(selector) ? [root] : [], ...root.querySelectorAll?.(selector) ?? []];

    function tidy(root) {
        for (const key of ["aria-label", "title"])
            for (const node of each(root, `[${key}]`)) {
                const translated = text["gradio_" + node.getAttribute(key)];
                if (translated) node.setAttribute(key, translated);
            }
        for (const button of each(root, "#examples button:has(.caption-label)"))
            button.ariaLabel = button.querySelector(".caption-label").textContent;
        const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
        for (let node = walker.currentNode; node; node = walker.nextNode()) {
            if (node.nodeType !== Node.TEXT_NODE) continue;
            const shown = node.data.trim();
            const better = text["gradio_" + shown]
                ?? (node.parentElement?.closest("#shares") && certain[shown]);
            if (better && better !== shown) node.data = better;
        }
    }
    tidy(document.body);
    new MutationObserver(changes => {
        for (const {target, addedNodes, type} of changes)
            (type === "characterData" ? [target] : addedNodes).forEach(tidy);
    }).observe(document.body, {childList: true, characterData: true, subtree: true});

    // The server judges a file by its content; Gradio's field takes only those with a picture's type.
    const retyped = files => {
        const transfer = new DataTransfer();
        for (const file of files)
            transfer.items.add(new File([file], file.name, {type: "image/unknown"}));
        return transfer;
    };
    const refused = (node, files) => node.closest?.("#picture")
        && [...files ?? []].some(file => !file.type.startsWith("image/"));
    addEventListener("change", ({target}) => {
        if (refused(target, target.files)) target.files = retyped(target.files).files;
    }, true);
    addEventListener("drop", event => {
        const files = event.dataTransfer?.files;
        if (!refused(event.target, files)) return;
        event.preventDefault();
        event.stopImmediatePropagation();
        const how = {bubbles: true, cancelable: true, dataTransfer: retyped(files)};
        event.target.dispatchEvent(new DragEvent("drop", how));
    }, true);

    // Gradio does not handle the error if the camera cannot be used.
    addEventListener("unhandledrejection", event => {
        const field = document.getElementById("picture");
        if (!(event.reason instanceof DOMException && field?.querySelector("video"))) return;
        event.preventDefault();
        const message = document.createElement("p");
        Object.assign(message, {className: "box notice", role: "alert", textContent: text.error_camera});
        field.before(message);
        field.addEventListener("click", () => message.remove(), {once: true});
    });
}
