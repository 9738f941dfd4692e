() => {
    // What Gradio leaves undone for those who hear the page: the result is read out when it comes,
    // what it says in English of its own is said in the page's language, an example is named by its caption,
    // and no probability is 0 or 100 %.
    const language = (navigator.language || "en").split("-")[0];
    const texts = window.gradio_config?.i18n_translations ?? {};
    const words = texts[language] ?? texts.en ?? {};
    const certain = {"0%": words.under_1, "100%": words.over_99}; // as Gradio rounds; no model is
    const name = () => {
        for (const id of ["summary", "table"])
            document.getElementById(id)?.setAttribute("aria-live", "polite");
        for (const button of document.querySelectorAll("#examples button:has(.caption-label)")) {
            const caption = button.querySelector(".caption-label").textContent;
            if (button.ariaLabel !== caption) button.ariaLabel = caption;
        }
        for (const node of document.querySelectorAll("[aria-label], [title]"))
            for (const key of ["aria-label", "title"]) {
                const word = words["gradio_" + node.getAttribute(key)];
                if (word && word !== node.getAttribute(key)) node.setAttribute(key, word);
            }
        const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        while (walker.nextNode()) {
            const node = walker.currentNode, said = node.data.trim();
            const word = words["gradio_" + said] ?? (node.parentElement.closest("#shares") && certain[said]);
            if (word && word !== node.data) node.data = word;
        }
        if (words.title && document.title !== words.title) document.title = words.title;
    };
    // Gradio says nothing when the camera is refused.
    const ask = navigator.mediaDevices?.getUserMedia?.bind(navigator.mediaDevices);
    if (ask) navigator.mediaDevices.getUserMedia = async wanted => {
        document.getElementById("refused")?.remove();
        try {
            return await ask(wanted);
        } catch {
            const said = document.createElement("p");
            Object.assign(said, {id: "refused", className: "box notice", role: "alert"});
            said.textContent = words.error_camera;
            document.getElementById("picture")?.before(said);
            return new Promise(() => {}); // Gradio would only leave the error unhandled
        }
    };
    new MutationObserver(name).observe(document.body, {childList: true, characterData: true, subtree: true});
    name();
}
