// Takes a picture with the device's camera.
import {box, make} from "./elements.js";

/** A camera that calls `taken(file)`, and `closed()` when the visitor closes it or leaves it.
 * Returns {film, open, close}: its element, hidden until `open()`, which rejects if there is no
 * camera or the browser does not allow it. */
export function camera(text, taken, closed) {
    const button = (key, onclick, className = "") =>
        make("button", {type: "button", textContent: text(key), onclick, className});
    const video = make("video", {
        autoplay: true, muted: true, playsInline: true, ariaLabel: text("picker_viewfinder"),
    });
    const shutter = button("picker_shoot", shoot, "main");
    const film = box("film", video, box("row", shutter, button("picker_close", () => {
        close();
        closed();
    })));
    film.hidden = true;

    async function open() {
        video.srcObject = await navigator.mediaDevices.getUserMedia({
            video: {facingMode: "environment", width: {ideal: 1920}},
        });
        film.hidden = false;
        shutter.focus();
    }

    function close() {
        for (const track of video.srcObject?.getTracks() ?? []) track.stop();
        video.srcObject = null;
        film.hidden = true;
    }

    function shoot() {
        const canvas = make("canvas", {width: video.videoWidth, height: video.videoHeight});
        canvas.getContext("2d").drawImage(video, 0, 0);
        const type = "image/jpeg";
        canvas.toBlob(blob => taken(new File([blob], "camera.jpg", {type})), type, 0.95);
    }

    // A camera must not go on filming in a tab that the visitor has left.
    new IntersectionObserver(([{isIntersecting}]) => {
        if (isIntersecting || film.hidden) return;
        close();
        closed();
    }).observe(film);
    return {film, open, close};
}
