/** A new element with properties, and children that are elements or text. */
export function make(tag, properties = {}, ...children) {
    const node = Object.assign(document.createElement(tag), properties);
    node.append(...children);
    return node;
}

/** A new paragraph for each sentence. */
export const paragraphs = (sentences, className = "") =>
    sentences.map(sentence => make("p", {className}, sentence));

/** A function that makes buttons, each with the text of a key; `text` is that of words.js. */
export const buttons = text => (key, onclick, className = "") =>
    make("button", {type: "button", textContent: text(key), onclick, className});

/** A new div. */
export const box = (className, ...children) => make("div", {className}, ...children);
