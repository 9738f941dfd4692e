#!/bin/sh
# The published systems, all trained from random weights on one small budget and the same parts of
# HAM10000, converted and measured; then systems.md and the plot.
#
#     sh results/systems.sh                              all systems; finished runs are skipped
#     SIZE=48x64 EPOCHS=2 sh results/systems.sh cnn_192  one system, its input size and epochs
#
# DATA names the data set, RUNS the folder of the model folders, MORE further options of train.py
# for all. The default size is the smallest that all of these networks accept.
set -eu
cd "$(dirname "$0")/.."
DATA=${DATA:-../shared/ham10000} RUNS=${RUNS:-runs} PYTHON=${PYTHON:-python}
SIZE=${SIZE:-75x100} EPOCHS=${EPOCHS:-6} TABLE=${TABLE:-results/runs.csv}

system() {
    name=systems-$1
    task=$2
    backbone=$3
    if [ ! -e "$RUNS/$name/config.json" ]; then
        # shellcheck disable=SC2086
        $PYTHON train.py --dataset "$DATA" --output "$RUNS/$name" --backbone "$backbone" $task \
            --weights none --size "$SIZE" --epochs "$EPOCHS" --resume --results "$TABLE" ${MORE:-}
    fi
    if [ ! -e "$RUNS/$name/report.md" ]; then
        # 8-bit weights change too many predictions of a network that has learned little. convert.py
        # refuses them then, and 16 bits are used.
        $PYTHON convert.py "$RUNS/$name" --dataset "$DATA" --results "$TABLE" ||
            $PYTHON convert.py "$RUNS/$name" --dataset "$DATA" --quantize float16 --results "$TABLE"
        $PYTHON evaluate.py "$RUNS/$name" --dataset "$DATA" --results "$TABLE"
    fi
}

SEVEN="inception_resnet_v2 inception_v3 mobilenet mobilenet_v2 efficientnet_b0 efficientnet_b1 cnn_192"
TWO="cnn_16_32 cnn_32_32_64"
for backbone in $SEVEN $TWO; do
    if [ $# -gt 0 ] && ! echo " $* " | grep -q " $backbone "; then continue; fi
    case " $TWO " in
    *" $backbone "*) system "$backbone-binary" "--task binary" "$backbone" ;;
    *) system "$backbone" "" "$backbone" ;;
    esac
done
$PYTHON -m results.systems "$TABLE"
