// The words and numbers of the page, in its language. They come from model/page/texts.json and are
// written as model/page/texts.py writes them.

/** Functions that speak the page's language; `page` is settings() of model/page/settings.py. */
export function speaker({language, words}) {
    const text = (key, values = {}) =>
        Object.entries(values).reduce(
            (said, [name, value]) => said.replaceAll(`{${name}}`, () => value), words[key]);

    /** 12,345.6, or 12.345,6 in Indonesian. */
    const number = (value, digits = 0) => new Intl.NumberFormat(language === "id" ? "id" : "en-US", {
        minimumFractionDigits: digits, maximumFractionDigits: digits, roundingMode: "halfEven",
    }).format(value);

    /** 0.432 as 43%. */
    const percent = (share, digits = 0) => number(100 * share, digits) + "%";

    /** `percent`, but never 0% or 100%: no model is that certain. */
    function probability(p, digits = 0) {
        if (p > 0.99) return text("over_99");
        return p < 0.01 ? text("under_1") : percent(p, digits);
    }

    /** Both as probabilities, with as many digits as it takes to tell them apart, up to three. */
    function distinct(one, other) {
        let pair;
        for (let digits = 0; digits < 4; digits++) {
            pair = [one, other].map(p => probability(p, digits));
            if (pair[0] !== pair[1]) break;
        }
        return pair;
    }

    return {text, number, percent, probability, distinct};
}
