// The answer to one picture: the verdict, what it is most similar to, the probabilities, the map.

/** Show an answer in `place`, in place of what it held. `answer` is what model/page/calls.py's
 * `classify` and the private tab's worker return, or {error: sentence}; `page` is settings() of
 * model/page/settings.py. Null empties the place to its first sentence. Returns nothing. */
export function show(place, answer, page) {
    place.textContent = JSON.stringify(answer?.error ?? answer?.probabilities ?? "");
}

/** A sign in `place` that an answer is being computed. */
export function showBusy(place, page) {
    place.textContent = "…";
}
