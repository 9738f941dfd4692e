#!/bin/sh
# What each setting is worth: one small run that is the baseline, the baseline with two other seeds,
# and runs in which one setting differs; all measured on the validation part alone. Then ablations.md.
#
#     sh results/ablations.sh                                everything; what is finished is left alone
#     EPOCHS=4 sh results/ablations.sh baseline mixup        two of them
#
# The last three start from a backbone that saw other labelled pictures first: natural ones,
# dermoscopy, or the one and then the other ("both" needs "natural"). DATA names the data set,
# PRETRAIN the folder of further pictures, RUNS that of the model folders, MORE further settings of
# train.py for all, the baseline too. With another baseline comes another NAME, which begins the
# names of the runs and names the page.
set -eu
cd "$(dirname "$0")/.."
DATA=${DATA:-../shared/ham10000} PRETRAIN=${PRETRAIN:-../shared/pretrain} RUNS=${RUNS:-runs}
PYTHON=${PYTHON:-python} SIZE=${SIZE:-48x64} EPOCHS=${EPOCHS:-8} TABLE=${TABLE:-results/runs.csv}
NAME=${NAME:-ablation}

wanted() { [ -z "$ONLY" ] || echo " $ONLY " | grep -q " $1 "; }

train() { # a data set, a name, further settings; what is finished is left alone
    from=$1 name=$2
    shift 2
    if [ ! -e "$RUNS/$name/config.json" ]; then
        # shellcheck disable=SC2086
        $PYTHON train.py --dataset "$from" --output "$RUNS/$name" --backbone mobilenet_v2 \
            --weights none --size "$SIZE" --epochs "$EPOCHS" --batch 64 --learning-rate 0.002 \
            --precision mixed_bfloat16 --no-peak --resume --results "$TABLE" ${MORE:-} "$@"
    fi
}

run() { # a name and what differs
    wanted "$1" || return 0
    name=$1
    shift
    train "$DATA" "$NAME-$name" "$@"
}

first() { # a stage before: whose, a folder of other pictures, further settings
    wanted "$1" || return 0
    name=$1 folder=$2
    shift 2
    train "$PRETRAIN/$folder" "first-$name" --label-column label --split-by image "$@"
}

ONLY=$*
run baseline
run seed-1 --seed 1
run seed-2 --seed 2
run balance-none --balance none
run logit-adjust --balance none --logit-adjust 1
run class-weight --balance class-weight
run oversample-all --oversample-power 1
run mixup --mixup 0.2
run cutmix --cutmix 1
run colour --colour 2
run no-average --average 0
run isic2017 --extra "$PRETRAIN/isic2017_256px"
run isic2019 --extra "$PRETRAIN/isic2019_84px"
run larger --size 96x128
run longer --epochs $((2 * EPOCHS))
run float32 --precision float32
run augment-half --augment 0.5
run under-over --balance under-over
run oversample-root --balance oversample
run backbone-rate --backbone-rate 0.3
run circle --artefacts circle
run ruler --artefacts ruler
run ink --artefacts ink
run hair --artefacts hair
run light --artefacts light
run artefacts --artefacts circle ruler ink hair light --artefact-share 0.1
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
