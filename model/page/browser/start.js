// What Gradio's page calls first: for the page as a whole, and for each tab that a module draws.
import {translate} from "./gradio.js";

const base = new URL(".", import.meta.url).href;
const texts = {}; // language -> promise of its settings as text, fetched once for all tabs

/** The settings of a page. Each call makes a new object, for a tab to keep its own state with. */
async function settings(language) {
    texts[language] ??= fetch(`${base}page.${language}.json`).then(reply => reply.text());
    return JSON.parse(await texts[language]);
}

/** Whether this tab has shown a page of ours: then the visitor has chosen the language. */
function seen() {
    try {
        const before = sessionStorage.getItem("lesion-seen");
        sessionStorage.setItem("lesion-seen", "yes");
        return before !== null;
    } catch {
        return document.referrer.startsWith(location.origin + "/"); // storage is refused
    }
}

/** Begin a page of one of `languages`; the first is that of the address without a language. */
export async function begin(language, languages, root = location.origin) {
    const preferred = navigator.language.split("-")[0], chosen = seen();
    if (language === languages[0] && languages.slice(1).includes(preferred) && !chosen)
        return location.replace(`${root.replace(/\/$/, "")}/${preferred}${location.search}`);
    document.documentElement.lang = language;
    const {words, gradio} = await settings(language);
    document.title = words.title;
    if (gradio) translate(gradio);
}

/** Let the module `name` fill a tab. `gradio` holds the functions that gr.HTML offers: {server,
 * upload}. */
export async function draw(element, name, language, gradio) {
    const [module, page] = await Promise.all([import(`${base}${name}.js`), settings(language)]);
    module.fill(element.querySelector(".tab"), page, base, gradio);
}
