// Takes a picture with the device's camera.
import {box, buttons, make} from "./elements.js";

/** A camera that calls `taken(file)`, and `closed()` when the visitor closes it or leaves it.
 * Returns {film, open, close}: its element, hidden until `open()`, which rejects if there is no
 * camera or the browser does not allow it, and resolves to whether it is open. */
export function camera(text, taken, closed) {
    const button = buttons(text);
    const video = make("video", {
        autoplay: true, muted: true, playsInline: true, ariaLabel: text("picker_viewfinder"),
    });
    const shutter = button("picker_shoot", shoot, "main");
    const film = box("film", video, box("row", shutter, button("picker_close", leave)));
    film.hidden = true;

    let wanted = 0; // what was opened before is obsolete
    // A camera must not go on filming in a tab that the visitor has left. It is observed anew each
    // time that it opens: an observer misses what appears and disappears between two frames.
    const presence = new IntersectionObserver(entries => {
        if (!entries.at(-1).isIntersecting) leave();
    });

    const stop = stream => stream?.getTracks().forEach(track => track.stop());

    async function open() {
        const mine = ++wanted;
        const stream = await navigator.mediaDevices.getUserMedia({
            video: {facingMode: "environment", width: {ideal: 1920}},
        });
        // The permission may come once the visitor has left the tab or chosen a file.
        if (mine !== wanted || !film.parentElement.offsetParent) {
            stop(stream);
            return false;
        }
        video.srcObject = stream;
        film.hidden = false;
        shutter.focus();
        presence.observe(film);
        return true;
    }

    function close() {
        wanted++;
        presence.disconnect();
        stop(video.srcObject);
        video.srcObject = null;
        film.hidden = true;
    }

    function leave() {
        close();
        closed();
    }

    function shoot() {
        if (!video.videoWidth) return; // no frame has come yet
        const canvas = make("canvas", {width: video.videoWidth, height: video.videoHeight});
        canvas.getContext("2d").drawImage(video, 0, 0);
        const type = "image/jpeg";
        canvas.toBlob(blob => taken(new File([blob], "camera.jpg", {type})), type, 0.95);
    }

    return {film, open, close};
}
