#!/bin/sh
# The effect of each setting: a small baseline run, the same with two other seeds, and runs that
# differ in one setting, all measured on the validation part only. Then ablations.md.
#
#     sh results/ablations.sh                            all runs; finished ones are skipped
#     EPOCHS=4 sh results/ablations.sh baseline mixup    two of them
#
# The last three start from a backbone that was trained on other labelled images: natural ones,
# dermoscopy, or first the one and then the other ("both" needs "natural"). DATA names the data set,
# PRETRAIN the folder of the other images, RUNS that of the model folders, MORE further options of
# train.py for all runs. Give another baseline another NAME: the names of the runs begin with it, and
# the report is named after it.
set -eu
cd "$(dirname "$0")/.."
DATA=${DATA:-../shared/ham10000} PRETRAIN=${PRETRAIN:-../shared/pretrain} RUNS=${RUNS:-runs}
PYTHON=${PYTHON:-python} SIZE=${SIZE:-48x64} EPOCHS=${EPOCHS:-8} TABLE=${TABLE:-results/runs.csv}
NAME=${NAME:-ablation}

wanted() { [ -z "$ONLY" ] || echo " $ONLY " | grep -q " $1 "; }

train() { # data set, name, further options; a finished run is skipped
    from=$1 name=$2
    shift 2
    if [ ! -e "$RUNS/$name/config.json" ]; then
        # shellcheck disable=SC2086
        $PYTHON train.py --dataset "$from" --output "$RUNS/$name" --backbone mobilenet_v2 \
            --weights none --size "$SIZE" --epochs "$EPOCHS" --batch 64 --learning-rate 0.002 \
            --precision mixed_bfloat16 --resume --results "$TABLE" ${MORE:-} "$@"
    fi
}

run() { # name, what differs
    wanted "$1" || return 0
    name=$1
    shift
    train "$DATA" "$NAME-$name" "$@"
}

first() { # first stage: of which run, folder of other images, further options
    wanted "$1" || return 0
    name=$1 folder=$2
    shift 2
    train "$PRETRAIN/$folder" "first-$name" --label-column label --split-by image "$@"
}

ONLY=$*
run baseline
run seed-1 --seed 1
run seed-2 --seed 2
run balance-none --set balance=none
run logit-adjust --set balance=none logit_adjust=1
run class-weight --set balance=class-weight
run oversample-all --set oversample_power=1
run mixup --set mixup=0.2
run cutmix --set cutmix=1
run colour --set colour=2
run no-average --set average=0
run isic2017 --extra "$PRETRAIN/isic2017_256px"
run isic2019 --extra "$PRETRAIN/isic2019_84px"
run larger --size 96x128
run longer --epochs $((2 * EPOCHS))
run float32 --precision float32
run augment-half --set augment=0.5
run under-over --set balance=under-over
run oversample-root --set balance=oversample
run circle --set artefacts=circle
run ruler --set artefacts=ruler
run ink --set artefacts=ink
run hair --set artefacts=hair
run light --set artefacts=light
run artefacts --set artefacts=circle,ruler,ink,hair,light artefact_share=0.1
run lite0 --backbone efficientnet_lite0
run lite1 --backbone efficientnet_lite1
run lite2 --backbone efficientnet_lite2
first natural tiny_imagenet_64px
run natural --weights "$RUNS/first-natural"
first dermoscopy isic2019_84px
run dermoscopy --weights "$RUNS/first-dermoscopy"
first both isic2019_84px --weights "$RUNS/first-natural"
run both --weights "$RUNS/first-both"
$PYTHON -m results.ablations "$TABLE" "$NAME"
