/** A new element with properties, and children that are elements or text. */
export function make(tag, properties = {}, ...children) {
    const node = Object.assign(document.createElement(tag), properties);
    node.append(...children);
    return node;
}

/** A new div. */
export const box = (className, ...children) => make("div", {className}, ...children);
